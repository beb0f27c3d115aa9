import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Ajv2020 } from "ajv/dist/2020.js";
import { expect, test } from "vitest";
import { readDecided, verifyLog } from "../../src/audit/read.ts";
import { recordSchema } from "../../src/audit/record-schema.ts";
import type { DecisionInputs, DecisionLog, Target, TenantRecord } from "../../src/domain.ts";
import { digest, type Json, type JsonObject, sha256 } from "../../src/lib/json.ts";
import { decide, decisionOf, leaseOf, openLog, outcomeOf, scratch } from "./support.ts";

const TENANT: TenantRecord = { id: "acme", refund_limit: 200, contact: "Jörg\nMüller" };

function targetOf(name: string, members: Readonly<Record<string, string>>): Target {
  const definition = new Map(Object.entries(members));
  const inputSchema = JSON.parse(members.inputSchema ?? '{"type":"object"}') as JsonObject;
  const announced = { title: name, description: "", annotations: {} };
  const labels = ["money"];
  const id = { upstream: "crm", kind: "tool", name } as const;
  return {
    ...id,
    labels,
    announced,
    exposedName: name,
    definition,
    inputSchema,
    digest: sha256(JSON.stringify([id, members])),
  };
}
const REFUND = targetOf("refund", {
  name: '"refund"',
  inputSchema: '{ "type":\r\n"object",\n "maximum":9007199254740993 }',
});

function entryOf({ tenant, targets: [target, ...matched] = [] }: DecisionInputs) {
  return decisionOf({
    ...(tenant && { tenant_sha256: digest(tenant) }),
    ...(target && { target_sha256: target.digest }),
    ...(matched.length > 0 && { matched_sha256: matched.map((one) => one.digest) }),
  });
}

async function decideOn(log: DecisionLog, inputs: DecisionInputs): Promise<string> {
  const id = log.newId();
  await log.decision(id, entryOf(inputs), inputs);
  return id;
}

type Row = Record<string, unknown> & { phase: string };
const files = (path: string) => readdirSync(path).filter((name) => name.endsWith(".jsonl"));
const rowsOf = (path: string, name: string): Row[] =>
  readFileSync(join(path, name), "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
const rows = (path: string) => files(path).flatMap((name) => rowsOf(path, name));

test("what a decision was made on stands once, whole, before the first record that names it", async () => {
  const path = scratch();
  const log = await openLog(path);
  await decideOn(log, { tenant: TENANT, targets: [REFUND] });
  await decideOn(log, { tenant: TENANT, targets: [REFUND] });
  const [, tenant, target] = rows(path);
  expect(rows(path).map(({ phase }) => phase)).toEqual(["segment", "input", "input", "decision", "decision"]);
  expect(tenant).toMatchObject({ kind: "tenant", sha256: digest(TENANT), value: TENANT });
  expect(digest(tenant?.value as Json)).toBe(tenant?.sha256);
  const { upstream, kind, name, labels, announced } = REFUND;
  const definition = { name: "refund", inputSchema: REFUND.inputSchema };
  expect(target).toMatchObject({ kind: "target", sha256: REFUND.digest });
  expect(target?.value).toEqual({ upstream, kind, name, labels, announced, definition });
});

test("a definition is kept as its upstream sent it: big integers exactly, line breaks as spaces", async () => {
  const path = scratch();
  await decideOn(await openLog(path), { targets: [REFUND] });
  const [name = ""] = files(path);
  expect(readFileSync(join(path, name), "utf8")).toContain('"maximum":9007199254740993');
  expect(await verifyLog(path)).toMatchObject({ ok: true, last: 3 });
});

test("a schema that the definition itself does not have is told beside it", async () => {
  const path = scratch();
  await decideOn(await openLog(path), { targets: [targetOf("greet", { name: '"greet"' })] });
  expect(rows(path)[1]?.value).toMatchObject({
    inputSchema: { type: "object" },
    definition: { name: "greet" },
  });
});

test("each segment is whole by itself: every digest that it names, it explains", async () => {
  const path = scratch();
  const log = await openLog(path, { segmentBytes: 4096 });
  const targets = ["a", "b", "c"].map((name) => targetOf(name, { name: `"${name}"` }));
  for (let i = 0; i < 60; i += 1) {
    const tenant = { ...TENANT, refund_limit: i % 4 };
    await decideOn(log, { tenant, targets: targets.slice(i % 3) });
  }
  await log.close();
  expect(files(path).length).toBeGreaterThan(5);
  for (const name of files(path)) {
    const told: unknown[] = [];
    for (const row of rowsOf(path, name)) {
      if (row.phase === "input") told.push(row.sha256);
      if (row.phase !== "decision") continue;
      const named = [
        row.tenant_sha256,
        row.target_sha256,
        ...((row.matched_sha256 as string[] | undefined) ?? []),
      ];
      expect(told).toEqual(expect.arrayContaining(named.filter((one) => one !== undefined)));
    }
    expect(new Set(told).size).toBe(told.length);
  }
  expect(await verifyLog(path)).toMatchObject({ ok: true });
});

test("a later process that goes on with a segment does not say again what stands in it", async () => {
  const path = scratch();
  const first = await openLog(path);
  first.outcome(outcomeOf(await decideOn(first, { tenant: TENANT })));
  await first.close();
  await decideOn(await openLog(path), { tenant: TENANT, targets: [REFUND] });
  const said = rows(path).filter(({ phase }) => phase === "input");
  expect(said.map(({ kind }) => kind)).toEqual(["tenant", "target"]);
});

test("an input that is not JSON refuses its decision, leaves no gap, and is not taken for written", async () => {
  const path = scratch();
  const log = await openLog(path);
  const circular: Record<string, unknown> = { id: "acme" };
  const inputs = { tenant: TENANT, targets: [{ ...REFUND, announced: circular as JsonObject }] };
  circular.self = circular;
  await expect(log.decision(log.newId(), entryOf(inputs), inputs)).rejects.toMatchObject({
    code: "audit_unavailable",
  });
  await decideOn(log, { tenant: TENANT, targets: [REFUND] });
  expect(rows(path).map(({ phase }) => phase)).toEqual(["segment", "input", "input", "decision"]);
  expect(await verifyLog(path)).toMatchObject({ ok: true });
});

test("decisions are read back with what they were made on, and others with nothing", async () => {
  const path = scratch();
  const log = await openLog(path);
  const matched = targetOf("other", { name: '"other"' });
  const id = await decideOn(log, { tenant: TENANT, targets: [REFUND, matched] });
  await decide(log);
  const found = [];
  for await (const one of readDecided(path)) found.push(one);
  expect(found[0]).toMatchObject({
    record: { id, phase: "decision" },
    tenant: TENANT,
    target: { name: "refund", labels: ["money"] },
    matched: [{ name: "other" }],
  });
  expect(Object.keys(found[1] ?? {})).toEqual(["record", "matched"]);
});

test("a question within a call waits for no outcome of its own", async () => {
  const path = scratch();
  const log = await openLog(path);
  const call = await decide(log);
  await decide(log, { within: call, method: "elicitation/create" });
  log.outcome(outcomeOf(call, { withheld: 2 }));
  await log.close();
  expect(await verifyLog(path)).toMatchObject({ ok: true, open: [] });
});

test("every line fits the published schema", async () => {
  const path = scratch();
  const log = await openLog(path);
  const id = await decideOn(log, { tenant: TENANT, targets: [REFUND, targetOf("b", { name: '"b"' })] });
  await decide(log, { within: id, matched: [{ upstream: "crm", kind: "template", name: "x{y}" }] });
  await log.lease(leaseOf(id, { subject: 'a "b"' }));
  await log.lease(leaseOf(id, { event: "mint_failed", lease_sha256: "", expires: 0 }));
  log.outcome(outcomeOf(id, { withheld: 1 }));
  await log.close();
  expect(await verifyLog(path)).toMatchObject({ ok: true, open: [] });
  const validate = new Ajv2020({ strict: false, validateFormats: false }).compile(recordSchema());
  for (const row of rows(path)) expect(validate(row) ? [] : validate.errors).toEqual([]);
  expect(rows(path)).toHaveLength(9);
});
