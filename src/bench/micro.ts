import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import type { PolicyContext, Target } from "../domain.ts";
import { createCapabilities } from "../gate/capabilities.ts";
import { createSchemas } from "../gate/schemas.ts";
import { systemClock } from "../lib/clock.ts";
import { silentLog } from "../lib/log.ts";
import { plainPrincipal } from "../lib/principal.ts";
import type { PolicyEngine } from "../policy/engine.ts";
import { createPreparer } from "../policy/preparation.ts";
import { createPolicyStore } from "../policy/store.ts";
import { createToolchain } from "../policy/toolchain.ts";
import { POLICY } from "./gateway.ts";

type Report = (name: string, p50: number, p99: number) => void;

/** Measures single stages in this process, in microseconds, with a policy of a hundred rules. */
export async function micro(report: Report): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), "portcullis-bench-"));
  const toolchain = createToolchain();
  try {
    await writeFile(join(directory, "authz.rego"), POLICY);
    const policies = createPolicyStore({
      prepare: createPreparer(toolchain),
      platform: directory,
      tenants: new Map([["bench", null]]),
      tenantSchema: {},
      log: silentLog,
      clock: systemClock,
    });
    await policies.load();
    measure(policies.current("bench"), report);
    policies.close();
  } finally {
    await toolchain.close();
    await rm(directory, { recursive: true });
  }
}

function measure(policy: PolicyEngine, report: Report): void {
  const targets = Array.from({ length: 400 }, (_, index) =>
    targetOf(index === 0 ? "echo" : `tool_${index % 100}`, index),
  );
  const [echo] = targets as [Target];
  const schemas = createSchemas();
  for (const target of targets) schemas.of(target);
  // A new subject each time misses the cache, as a principal's first request does.
  let subject = 0;
  const stranger = () => {
    subject += 1;
    return contextOf(`user ${subject}`);
  };
  const familiar = contextOf("familiar");
  const args = { message: "hello" };

  const cold = createCapabilities(schemas, 1);
  const warm = createCapabilities(schemas, 1000);
  const sample = (name: string, runs: number, work: () => unknown) => {
    const [p50, p99] = quantiles(runs, work);
    report(name, p50, p99);
  };
  sample("evaluation, 100 rules", 5000, () => policy.capabilities(stranger(), [echo]));
  sample("decision, cold", 5000, () =>
    cold.of(policy, stranger(), [echo])[0]?.decide(args, policy.requirements(familiar, echo)),
  );
  sample("decision, warm", 20_000, () =>
    warm.of(policy, familiar, [echo])[0]?.decide(args, policy.requirements(familiar, echo)),
  );
  sample("narrowing, one tool", 5000, () => cold.of(policy, stranger(), [echo])[0]?.listing());
  for (const count of [40, 400]) {
    const some = targets.slice(0, count);
    const listAll = (capabilities: typeof cold, context: PolicyContext) =>
      capabilities.of(policy, context, some).map((one) => one.listed && one.listing());
    sample(`list of ${count}, cold`, 8000 / count, () =>
      listAll(createCapabilities(schemas, 1000), stranger()),
    );
    sample(`list of ${count}, warm`, 40_000 / count, () => listAll(warm, familiar));
  }
}

/** Of runs after as many that are not counted: until then module and code are still being compiled. */
function quantiles(runs: number, work: () => unknown): [number, number] {
  for (let run = 0; run < runs; run += 1) work();
  const times = Array.from({ length: runs }, () => {
    const startedAt = performance.now();
    work();
    return (performance.now() - startedAt) * 1000;
  }).sort((a, b) => a - b);
  return [times[Math.floor(runs * 0.5)] ?? 0, times[Math.floor(runs * 0.99)] ?? 0];
}

function targetOf(name: string, index: number): Target {
  const inputSchema = { type: "object", properties: { message: { type: "string" } }, required: ["message"] };
  return {
    upstream: "fixed",
    kind: "tool",
    name,
    labels: [],
    announced: { title: name, description: "A tool of a catalog of four hundred.", annotations: {} },
    exposedName: name,
    definition: new Map([
      ["name", JSON.stringify(name)],
      ["inputSchema", JSON.stringify(inputSchema)],
    ]),
    inputSchema,
    digest: `target ${index}`,
  };
}

function contextOf(subject: string): PolicyContext {
  const principal = plainPrincipal({
    kind: "user",
    issuer: "https://issuer.example",
    subject,
    tenant: "bench",
    roles: ["bench", ...Array.from({ length: 10 }, (_, index) => `role_${index}`)],
    scopes: ["mcp"],
    client: "bench",
  });
  return { principal, tenant: { id: "bench" }, server: "bench", now: Math.floor(Date.now() / 1000) };
}
