import type { Capability } from "../../src/domain.ts";
import type { Json, JsonObject } from "../../src/lib/json.ts";
import { parseGrant, parseLimit } from "../../src/policy/answers.ts";
import { type OpenCapability, openCapability } from "../../src/policy/capability.ts";
import type { RequirementSource } from "../../src/policy/requirements.ts";
import { type CompiledSchema, compileSchema } from "../../src/policy/schema.ts";

/** What policy said, as JSON: platform's, or the tenant's where the key says so. */
export interface Said {
  readonly grants?: readonly Json[];
  readonly tenantGrants?: readonly Json[];
  readonly limits?: readonly Json[];
  readonly denials?: readonly string[];
  /** Of what was dropped as malformed. */
  readonly faults?: readonly string[];
}

export function compiled(schema: JsonObject): CompiledSchema {
  const result = compileSchema({ type: "object", ...schema });
  if (!result.ok) throw new Error(result.fault);
  return result.schema;
}

function capabilityOf(said: Said): Capability {
  const grant = (layer: "platform" | "tenant") => (value: Json) => {
    const parsed = parseGrant(value, layer);
    if (!parsed.ok) throw new Error(parsed.fault);
    return parsed.value;
  };
  const limit = (value: Json) => {
    const parsed = parseLimit(value, "platform");
    if (!parsed.ok) throw new Error(parsed.fault);
    return parsed.value;
  };
  return {
    grants: [
      ...(said.grants ?? []).map(grant("platform")),
      ...(said.tenantGrants ?? []).map(grant("tenant")),
    ],
    limits: (said.limits ?? []).map(limit),
    denials: said.denials ?? [],
    faults: said.faults ?? [],
  };
}

export function open(properties: JsonObject, said: Said, more: JsonObject = {}): OpenCapability {
  return openCapability(capabilityOf(said), compiled({ properties, ...more }));
}

/** A grant that bounds these arguments. */
export function bounding(bounds: JsonObject, more: JsonObject = {}): JsonObject {
  return { reason: "test", arguments: bounds, ...more };
}

export const nothingRequired: RequirementSource = {
  hold: () => {
    throw new Error("nothing is required");
  },
  describe: () => undefined,
};

/** Whether a call is allowed, or the code of its refusal. */
export function outcome(capability: OpenCapability, args: JsonObject): string {
  const decision = capability.decide(args, nothingRequired);
  return decision.effect === "allow" ? "allow" : decision.code;
}

/** Which of the values a bound admits for an argument that the schema leaves open. */
export function admitted(bound: JsonObject, values: readonly Json[]): readonly Json[] {
  const capability = open({ x: {} }, { grants: [bounding({ x: bound })] });
  return values.filter((x) => outcome(capability, { x }) === "allow");
}
