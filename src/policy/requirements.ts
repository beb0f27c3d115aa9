import type { Grant, Layer, Limit, Requirement } from "../domain.ts";
import type { JsonObject } from "../lib/json.ts";

/** A requirement that a call needs, to be looked up in the layer that names it. */
export interface Wanted {
  readonly layer: Layer;
  readonly name: string;
  /** Its key in the record: the name, or `layer/name` when both layers name one so (names have no slash). */
  readonly key: string;
}

/** Who looks requirements up, for the principal and target of one decision. */
export interface RequirementSource {
  /** Whether each holds for the arguments that would be forwarded, in order. Anything but true: it does not hold. */
  hold(wanted: readonly Wanted[], args: JsonObject): readonly boolean[];
  /** What the caller is told of one that does not hold; undefined where its layer does not define it. */
  describe(wanted: Wanted, args: JsonObject): Requirement | undefined;
}

/** For what is asked ahead of a call or after it: its requirements are conditions of the call itself. */
export const ALL_HOLD: RequirementSource = {
  hold: (wanted) => wanted.map(() => true),
  describe: () => undefined,
};

/** What the chosen grant and all limits require, each once. */
export function requirementsOf(grant: Grant, limits: readonly Limit[]): readonly Wanted[] {
  const layers = new Map<string, Set<Layer>>();
  for (const { layer, requires } of [grant, ...limits]) {
    for (const name of requires) layers.set(name, (layers.get(name) ?? new Set()).add(layer));
  }
  return Array.from(layers, ([name, named]) =>
    Array.from(named, (layer) => ({ layer, name, key: named.size > 1 ? `${layer}/${name}` : name })),
  ).flat();
}

interface Outcome {
  /** For the record, by key. */
  readonly requirements: Readonly<Record<string, boolean>>;
  readonly refusal: null | {
    readonly text: string;
    readonly data: JsonObject;
    readonly reasons: readonly string[];
  };
}

/** null refusal: all hold. `data.requirement` is the first that does not; several stand in `data.requirements`. */
export function settle(wanted: readonly Wanted[], args: JsonObject, source: RequirementSource): Outcome {
  const held = source.hold(wanted, args);
  const requirements = Object.fromEntries(wanted.map(({ key }, i) => [key, held[i] === true]));
  const failed = wanted.filter((_, i) => held[i] !== true);
  const told = failed.map((one) => described(one, source.describe(one, args)));
  const [first] = told;
  if (first === undefined) return { requirements, refusal: null };
  return {
    requirements,
    refusal: {
      text: inWords(told),
      data: { requirement: first, ...(told.length > 1 && { requirements: told }) },
      reasons: failed.map(({ key }, i) => `${key} does not hold${without(told[i]?.missing)}`),
    },
  };
}

function described({ name }: Wanted, requirement: Requirement | undefined) {
  const { title = "", stepUp = null, missing = [] } = requirement ?? {};
  return {
    name,
    title: title || name,
    step_up: stepUp && { ...stepUp },
    // The listed schema may say that they can be left out: only this tells the caller what to do.
    ...(missing.length > 0 && { missing }),
  };
}

function inWords(told: readonly ReturnType<typeof described>[]): string {
  const absent = [...new Set(told.flatMap(({ missing = [] }) => missing))];
  const needs = `This call needs ${told.map(({ title }) => title).join(" and ")}`;
  return absent.length === 0 ? `${needs}.` : `${needs}, which cannot be told without ${absent.join(", ")}.`;
}

function without(missing: readonly string[] = []): string {
  return missing.length === 0 ? "" : `: ${missing.join(", ")} not sent`;
}
