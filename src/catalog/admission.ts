import type { ListedKind } from "../domain.ts";
import type { Definition, Refusal } from "./definition.ts";
import { describeDrift } from "./drift.ts";
import type { Pin, PinStore } from "./pins.ts";

export interface Quarantined {
  readonly kind: ListedKind;
  readonly name: string;
  /** What changed since it was pinned, a line for each place. */
  readonly difference: readonly string[];
}

export interface Admission {
  readonly admitted: readonly Definition[];
  readonly quarantined: readonly Quarantined[];
  readonly refused: readonly Refusal[];
}

/**
 * Pins what is seen for the first time, admits what is as it was pinned, and keeps back what changed. Without pins
 * that can be read, nothing is admitted.
 */
export function admit(upstream: string, definitions: readonly Definition[], pins: PinStore): Admission {
  try {
    return admitBy(pins, upstream, definitions);
  } catch (error) {
    const reason = error instanceof Error ? error.message : "pins cannot be read";
    return {
      admitted: [],
      quarantined: [],
      refused: definitions.map(({ kind, name }) => ({ kind, name, reason })),
    };
  }
}

function admitBy(pins: PinStore, upstream: string, definitions: readonly Definition[]): Admission {
  const verdicts = withinBounds(
    upstream,
    definitions.map((definition) => judge(upstream, definition, pins)),
    pins,
  );
  const failure = keep(
    verdicts.flatMap(({ pin }) => pin ?? []),
    pins,
  );
  const unpinned = failure === undefined ? undefined : `it could not be pinned: ${failure}`;
  return {
    admitted: verdicts
      .filter(({ verdict }) => verdict === "same" || (verdict === "new" && unpinned === undefined))
      .map(({ definition }) => definition),
    quarantined: verdicts.flatMap(({ verdict, definition: { kind, name }, difference }) =>
      verdict === "changed" ? [{ kind, name, difference }] : [],
    ),
    refused: verdicts.flatMap(({ verdict, definition: { kind, name } }) => {
      const reason = verdict === "excess" ? "more of its kind are pinned than are kept" : unpinned;
      return reason !== undefined && (verdict === "excess" || verdict === "new")
        ? [{ kind, name, reason }]
        : [];
    }),
  };
}

/** Pins are for good, and an upstream can announce other resources each time it is asked. */
const MAX_PINS = 10_000;

function withinBounds(upstream: string, verdicts: readonly Verdict[], pins: PinStore): readonly Verdict[] {
  if (verdicts.every(({ verdict }) => verdict !== "new")) return verdicts;
  const count = new Map<string, number>();
  for (const pin of pins.list())
    if (pin.upstream === upstream) count.set(pin.kind, (count.get(pin.kind) ?? 0) + 1);
  return verdicts.map((one) => {
    if (one.verdict !== "new") return one;
    const { kind } = one.definition;
    const next = (count.get(kind) ?? 0) + 1;
    count.set(kind, next);
    return next <= MAX_PINS ? one : { verdict: "excess", definition: one.definition, difference: [] };
  });
}

interface Verdict {
  readonly verdict: "new" | "same" | "changed" | "excess";
  readonly definition: Definition;
  readonly difference: readonly string[];
  /** What is to be kept, if anything changed. */
  readonly pin?: Pin;
}

function judge(upstream: string, definition: Definition, pins: PinStore): Verdict {
  const { kind, name, digest, canonical } = definition;
  const id = { upstream, kind, name };
  const seen = { digest, definition: canonical };
  const pin = pins.get(id);
  if (pin === undefined)
    return { verdict: "new", definition, difference: [], pin: { ...id, ...seen, pending: null } };
  if (pin.digest === digest) {
    const reverted = pin.pending === null ? {} : { pin: { ...pin, pending: null } };
    return { verdict: "same", definition, difference: [], ...reverted };
  }
  const difference = describeDrift(pin.definition, canonical);
  const noted = pin.pending?.digest === digest ? {} : { pin: { ...pin, pending: seen } };
  return { verdict: "changed", definition, difference, ...noted };
}

function keep(changed: readonly Pin[], pins: PinStore): string | undefined {
  if (changed.length === 0) return undefined;
  try {
    pins.put(changed);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : "unknown";
  }
}
