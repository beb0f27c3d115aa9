import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { openDecisionLog } from "../../src/audit/log.ts";
import { type Decided, readDecided } from "../../src/audit/read.ts";
import type {
  CallDecision,
  DecisionLog,
  PolicyContext,
  PolicyTarget,
  Target,
  TenantRecord,
} from "../../src/domain.ts";
import { digest, isJsonObject, type JsonObject } from "../../src/lib/json.ts";
import { silentLog } from "../../src/lib/log.ts";
import { openCapability } from "../../src/policy/capability.ts";
import type { PolicyEngine } from "../../src/policy/engine.ts";
import { createPreparer } from "../../src/policy/preparation.ts";
import { compileSchema } from "../../src/policy/schema.ts";
import { createPolicyStore } from "../../src/policy/store.ts";
import { context, NOW, principal, TENANT_SCHEMA, target, toolchain } from "./world.ts";

const scratch = await mkdtemp(join(tmpdir(), "portcullis-again-"));
afterAll(async () => {
  await toolchain.close();
  await rm(scratch, { recursive: true });
});

const POLICY = `package authz

grant contains {
	"reason": "support refunds",
	"arguments": {"amount": {"maximum": input.tenant.refund_limit}, "desk": {"set": input.target.announced.title}},
	"requires": ["fresh", "not_blocked"],
} if {
	"support" in input.principal.roles
	"money" in input.target.labels
}
deny contains "closed" if input.tenant.refund_limit == 0
# METADATA
# title: a fresh login
holds.fresh if time.now_ns() / 1000000000 - input.principal.auth_time < 60
# METADATA
# title: an account that is not blocked
holds.not_blocked if not input.arguments.iban in input.tenant.blocked_ibans
`;

const INPUT_SCHEMA = {
  type: "object",
  properties: { amount: { type: "number" }, iban: { type: "string" }, desk: { type: "string" } },
  required: ["iban"],
};
const pinned: Target = {
  ...target({ announced: { title: "Desk 7", description: "", annotations: {} } }),
  exposedName: "refund",
  definition: new Map([["inputSchema", JSON.stringify(INPUT_SCHEMA)]]),
  inputSchema: INPUT_SCHEMA,
  digest: digest(INPUT_SCHEMA),
};

async function openEngine(): Promise<PolicyEngine> {
  const store = createPolicyStore({
    prepare: createPreparer(toolchain),
    platform: join(scratch, "policies"),
    tenants: new Map([["acme", null]]),
    tenantSchema: { ...TENANT_SCHEMA, required: ["id", "refund_limit", "blocked_ibans"] },
    log: silentLog,
    clock: Date.now,
  });
  await store.load();
  store.close();
  return store.current("acme");
}

function decide(
  policy: PolicyEngine,
  seen: PolicyContext,
  on: PolicyTarget,
  schema: JsonObject,
  args: JsonObject,
): CallDecision {
  const compiled = compileSchema(schema);
  const [capability] = policy.capabilities(seen, [on]);
  if (!compiled.ok || capability === undefined) throw new Error("no capability");
  return openCapability(capability, compiled.schema).decide(args, policy.requirements(seen, on));
}

/** What the record tells of a decision. */
const told = (decision: CallDecision) => ({
  effect: decision.effect,
  code: decision.effect === "allow" ? ("ok" as const) : decision.code,
  grant: decision.grant,
  requirements: decision.requirements,
  reasons: decision.effect === "allow" ? [] : decision.reasons,
});

async function record(log: DecisionLog, policy: PolicyEngine, seen: PolicyContext, args: JsonObject) {
  const { upstream, kind, name } = pinned;
  const entry = {
    phase: "decision",
    server: seen.server,
    era: "modern",
    method: "tools/call",
    rpc_id: 1,
    client_ip: "",
    revision: policy.revision,
    principal: seen.principal,
    target: { upstream, kind, name },
    arguments: args,
    arguments_sha256: digest(args),
    context: { now: seen.now },
    ...told(decide(policy, seen, pinned, pinned.inputSchema, args)),
    trace_id: "",
    tenant_sha256: digest(seen.tenant),
    target_sha256: pinned.digest,
  } as const;
  await log.decision(log.newId(), entry, { tenant: seen.tenant, targets: [pinned] });
}

/** From the log alone, and the policies of the revision that it names. */
function decideAgain({ record, tenant, target: on }: Decided, policy: PolicyEngine): CallDecision {
  const { principal: who, server, context: clock, arguments: args } = record;
  const definition = on?.definition;
  if (!who || !args || !on || !isJsonObject(definition)) throw new Error("the log does not hold it whole");
  const seen = { principal: who, tenant: tenant as TenantRecord, server, now: clock.now };
  const schema = (on.inputSchema ?? definition.inputSchema) as JsonObject;
  return decide(policy, seen, on as unknown as PolicyTarget, schema, args);
}

test("every decision of a log can be made again from the log and its policies alone", async () => {
  await mkdir(join(scratch, "policies"));
  await writeFile(join(scratch, "policies", "authz.rego"), POLICY);
  const path = join(scratch, "log");
  const clock = () => NOW * 1000;
  const log = await openDecisionLog({
    path,
    segmentBytes: 8192,
    maxPendingBytes: 1 << 20,
    clock,
    log: silentLog,
    onFatal() {},
  });
  const policy = await openEngine();
  const stranger = principal({ subject: "eve", roles: [] });
  const closed = { id: "acme", refund_limit: 0, blocked_ibans: [] };
  for (let round = 0; round < 5; round += 1) {
    const now = NOW + 20 * round;
    await record(log, policy, context({ now }), { amount: 100 * round, iban: "DE9" });
    await record(log, policy, context({ now }), { amount: 501, iban: "DE9" });
    await record(log, policy, context({ now }), { amount: 5, iban: "DE1" });
    await record(log, policy, context({ now, principal: stranger }), { amount: 5, iban: "DE9" });
    await record(log, policy, context({ now, tenant: closed }), { amount: 5, iban: "DE9" });
  }
  await log.close();

  const fresh = await openEngine();
  const codes = new Set<string>();
  for await (const decided of readDecided(path)) {
    const { revision, effect, code, grant, requirements, reasons } = decided.record;
    expect(revision).toEqual(fresh.revision);
    const again = told(decideAgain(decided, fresh));
    expect(JSON.parse(JSON.stringify(again))).toEqual({ effect, code, grant, requirements, reasons });
    codes.add(code);
  }
  expect([...codes].sort()).toEqual(["argument_out_of_bounds", "not_found", "ok", "requirement_not_met"]);
});
