import type {
  Capability,
  Layer,
  PolicyContext,
  PolicyTarget,
  Principal,
  Revision,
  TenantRecord,
} from "../domain.ts";
import { type JsonObject, sha256, valueAt } from "../lib/json.ts";
import type { Log } from "../lib/log.ts";
import type { PolicyLayer } from "./layer.ts";
import type { RequirementSource, Wanted } from "./requirements.ts";
import type { RequirementFact } from "./toolchain-types.ts";
import { pointerTo } from "./value-set.ts";

/** What decides for one tenant: an immutable snapshot, so that all evaluations of a decision see the same policies. */
export interface PolicyEngine {
  readonly revision: Revision;
  /** Whether a capability can change with time alone. */
  readonly readsClock: boolean;
  /** What each target means to the principal, in order: each layer is asked once, in batches. Never throws. */
  capabilities(context: PolicyContext, targets: readonly PolicyTarget[]): readonly Capability[];
  /**
   * The requirements of one decision. Each is looked up in the layer that names it, in one evaluation per layer; it
   * does not hold when that layer does not define it, when an argument that it reads is absent, or on any failure.
   */
  requirements(context: PolicyContext, target: PolicyTarget): RequirementSource;
  /** Digest of everything but the target that a capability depends on. */
  contextKey(context: PolicyContext): string;
}

interface EngineParts {
  readonly platform: PolicyLayer;
  /** null: the tenant has no policies of its own. */
  readonly tenant: PolicyLayer | null;
  readonly log: Log;
}

export function createEngine({ platform, tenant, log }: EngineParts): PolicyEngine {
  const layers: readonly (readonly [Layer, PolicyLayer])[] = tenant
    ? [
        ["platform", platform],
        ["tenant", tenant],
      ]
    : [["platform", platform]];
  const revision = Object.freeze({ platform: platform.revision, tenant: tenant?.revision ?? "" });
  const readsClock = layers.some(([, { facts }]) => facts.clock.capability);
  const facts = new Map(
    layers.flatMap(([layer, of]) => of.facts.requirements.map((fact) => [keyOf(layer, fact.name), fact])),
  );
  const factOf = ({ layer, name }: Pick<Wanted, "layer" | "name">) => facts.get(keyOf(layer, name));

  function held(context: PolicyContext, target: PolicyTarget, args: JsonObject, wanted: readonly Wanted[]) {
    const keys = new Set<string>();
    for (const [layer, policies] of layers) {
      const names = wanted
        .filter((one) => one.layer === layer && isDecidable(factOf(one), args))
        .map(({ name }) => name);
      if (names.length === 0) continue;
      const { holding, fault } = policies.holding(context, target, args, names);
      if (fault !== null)
        log.warn({ layer, upstream: target.upstream, target: target.name, fault }, "requirements failed");
      for (const name of holding) keys.add(keyOf(layer, name));
    }
    return keys;
  }

  /** The last key of each principal: the same objects come again with each of its requests. */
  const known = new WeakMap<Principal, { tenant: TenantRecord; server: string; tick: number; key: string }>();

  return {
    revision,
    readsClock,
    capabilities: (context, targets) => {
      const answers = layers.map(([, layer]) => layer.capabilities(context, targets));
      return targets.map((_, at) => together(answers.map((answer) => answer[at] as Capability)));
    },
    requirements: (context, target) => ({
      hold: (wanted, args) => {
        const keys = held(context, target, args, wanted);
        return wanted.map(({ layer, name }) => keys.has(keyOf(layer, name)));
      },
      describe: ({ layer, name }, args) => {
        const fact = factOf({ layer, name });
        return fact && { layer, name, title: fact.title, stepUp: fact.stepUp, missing: missing(fact, args) };
      },
    }),
    contextKey: (context) => {
      const { principal, tenant, server } = context;
      const tick = readsClock ? context.now : 0;
      const last = known.get(principal);
      if (last?.tenant === tenant && last.server === server && last.tick === tick) return last.key;
      const seen = layers.map(([, layer]) => layer.contextText(context));
      const key = sha256(JSON.stringify([revision, tenant.id, server, tick, ...seen]));
      known.set(principal, { tenant, server, tick, key });
      return key;
    },
  };
}

/** Layers have no slash in their name. */
function keyOf(layer: Layer, name: string): string {
  return `${layer}/${name}`;
}

/** Limits and denials of either layer hold for the grants of both. */
function together(answers: readonly Capability[]): Capability {
  const [only] = answers;
  if (only && answers.length === 1) return only;
  return {
    grants: answers.flatMap(({ grants }) => grants),
    limits: answers.flatMap(({ limits }) => limits),
    denials: answers.flatMap(({ denials }) => denials),
    faults: answers.flatMap(({ faults }) => faults),
  };
}

/** `not input.arguments.iban in …` is true of an absent iban, so that leaving it out would meet the requirement. */
function isDecidable(fact: RequirementFact | undefined, args: JsonObject): boolean {
  return fact !== undefined && missing(fact, args).length === 0;
}

function missing({ argumentsRead, optional }: RequirementFact, args: JsonObject): readonly string[] {
  return argumentsRead
    .filter((path) => !optional.includes(path[0] ?? "") && valueAt(args, path) === undefined)
    .map((path) => path.map(pointerTo).join(""));
}
