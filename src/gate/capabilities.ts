import type { Bounds, Capability, PolicyContext, Target } from "../domain.ts";
import type { Json } from "../lib/json.ts";
import { LRUCache } from "../lib/lru.ts";
import { weightOf } from "../lib/weight.ts";
import { type OpenCapability, openCapability } from "../policy/capability.ts";
import type { PolicyEngine } from "../policy/engine.ts";
import { compileSchema } from "../policy/schema.ts";
import type { Schemas } from "./schemas.ts";

/** What this principal may do with these targets, in their order: the one function that listing and calling share. */
export interface Capabilities {
  of(policy: PolicyEngine, context: PolicyContext, targets: readonly Target[]): readonly OpenCapability[];
}

/** Of all that is kept: a policy that reads the clock makes new capabilities every second, as large as it likes. */
const MAX_BYTES = 256 << 20;
/** Of one that says little, once it is opened and listed. */
const OPENED_BYTES = 2000;

/**
 * Keeps opened capabilities by everything that they depend on: the engine's context key (revision, projected
 * principal, tenant record, clock tick if read) and the pinned target's digest.
 */
export function createCapabilities(schemas: Schemas, max: number): Capabilities {
  const cache = new LRUCache<string, OpenCapability>({ max, maxSize: MAX_BYTES });

  return {
    of(policy, context, targets) {
      const prefix = `${policy.contextKey(context)} `;
      const known = targets.map((target) => cache.get(prefix + target.digest));
      const missing = targets.filter((_, index) => known[index] === undefined);
      const asked = missing.length === 0 ? [] : policy.capabilities(context, missing);
      const opened = missing.map((target, index) => {
        const open = openOn(target, asked[index], schemas);
        if (open.mistakes.length > 0)
          schemas.mistaken(target, { tenant: context.tenant.id, revision: policy.revision }, open.mistakes);
        cache.set(prefix + target.digest, open, {
          size: OPENED_BYTES + weightOf({ ...asked[index] } as Json),
        });
        return open;
      });
      return known.map((open) => open ?? opened.shift() ?? closed("policy gave no answer for this target"));
    },
  };
}

function openOn(target: Target, capability: Capability | undefined, schemas: Schemas): OpenCapability {
  const compiled = schemas.of(target);
  if (!compiled.ok) return closed(`its schema is invalid: ${compiled.fault}`);
  // An engine that answers fewer targets than it was asked about has decided nothing about the rest.
  if (capability === undefined) return closed("policy gave no answer for this target");
  return openCapability(withoutUnmet(capability, target), compiled.schema);
}

/** Every URI of a template names its variables: a grant that sets one which cannot be left out can never be met. */
function withoutUnmet(capability: Capability, { kind, inputSchema: { required } }: Target): Capability {
  if (kind !== "template") return capability;
  const named = new Set(Array.isArray(required) ? required : []);
  const sets = ({ arguments: bounds }: { readonly arguments: Bounds }) =>
    Object.entries(bounds).some(([name, { set }]) => set !== undefined && named.has(name));
  const grants = capability.limits.some(sets) ? [] : capability.grants.filter((grant) => !sets(grant));
  return { ...capability, grants };
}

const anyObject = compileSchema({ type: "object" });

function closed(denial: string): OpenCapability {
  return nothing({ denials: [denial], faults: [] });
}

/** No grant, and why. */
export function nothing(why: Pick<Capability, "denials" | "faults">): OpenCapability {
  if (!anyObject.ok) throw new Error(anyObject.fault);
  return openCapability({ grants: [], limits: [], ...why }, anyObject.schema);
}
