import type { PolicyContext, PolicyTarget, Principal, TenantRecord } from "../../src/domain.ts";
import type { JsonObject } from "../../src/lib/json.ts";
import { silentLog } from "../../src/lib/log.ts";
import { plainPrincipal } from "../../src/lib/principal.ts";
import { createEngine, type PolicyEngine } from "../../src/policy/engine.ts";
import { loadProgram } from "../../src/policy/instance.ts";
import { createInstancePool, type InstancePool } from "../../src/policy/instance-pool.ts";
import { createLayer, type PolicyLayer } from "../../src/policy/layer.ts";
import { type BuiltPolicy, createToolchain } from "../../src/policy/toolchain.ts";

export const toolchain = createToolchain();

export const TENANT_SCHEMA: JsonObject = {
  type: "object",
  required: ["id"],
  properties: {
    id: { type: "string" },
    refund_limit: { type: "integer" },
    blocked_ibans: { type: "array", items: { type: "string" } },
  },
};

export const NOW = 1_780_000_000;
export const LIMITS = { steps: 5_000_000, memory: 64 * 1024 * 1024 };
export const INPUT = { inputBytes: 2 * 1024 * 1024, inputDepth: 64 };

const builds = new Map<string, Promise<BuiltPolicy>>();

/** Builds with the real toolchain, each source once. */
export function build(rego: string, data: JsonObject = {}): Promise<BuiltPolicy> {
  const key = JSON.stringify([rego, data]);
  const known = builds.get(key) ?? buildAnew(rego, data);
  builds.set(key, known);
  return known;
}

async function buildAnew(rego: string, data: JsonObject): Promise<BuiltPolicy> {
  const files = { "authz.rego": `package authz\n\n${rego}\n` };
  const built = await toolchain.build({
    files,
    data,
    tenantSchema: TENANT_SCHEMA,
  });
  if (!built.ok) throw new Error(JSON.stringify(built.problems, null, 2));
  return built.policy;
}

export interface LayerOptions {
  readonly layer?: "platform" | "tenant";
  readonly data?: JsonObject;
  readonly pool?: InstancePool;
  readonly limits?: typeof LIMITS;
  readonly input?: typeof INPUT;
}

export async function layerOf(rego: string, options: LayerOptions = {}): Promise<PolicyLayer> {
  const {
    layer = "platform",
    data = {},
    pool = createInstancePool(8),
    limits = LIMITS,
    input = INPUT,
  } = options;
  const policy = await build(rego, data);
  const program = await loadProgram(policy.wasm, JSON.stringify(policy.data), limits);
  return createLayer({ layer, policy, program, pool, limits: input });
}

export async function engineOf(rego: string, options: LayerOptions = {}): Promise<PolicyEngine> {
  return createEngine({ platform: await layerOf(rego, options), tenant: null, log: silentLog });
}

export function principal(changes: Partial<Principal> = {}): Principal {
  const known = { kind: "user", issuer: "https://idp", subject: "ann", tenant: "acme" } as const;
  return plainPrincipal({ ...known, roles: ["support"], auth_time: NOW - 10, ...changes });
}

export function context(changes: Partial<PolicyContext> = {}): PolicyContext {
  const tenant: TenantRecord = { id: "acme", refund_limit: 500, blocked_ibans: ["DE1"] };
  return { principal: principal(), tenant, server: "support", now: NOW, ...changes };
}

export function target(changes: Partial<PolicyTarget> = {}): PolicyTarget {
  return { upstream: "crm", kind: "tool", name: "refund", labels: ["money"], announced: {}, ...changes };
}

export const wanted = (name: string, layer: "platform" | "tenant" = "platform") => ({
  layer,
  name,
  key: name,
});
