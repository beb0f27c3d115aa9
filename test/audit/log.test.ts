import {
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { expect, test, vi } from "vitest";
import { verifyLog } from "../../src/audit/read.ts";
import type { DecisionEntry } from "../../src/domain.ts";
import { Secret } from "../../src/lib/secret.ts";
import { ann, decide, decisionOf, EPOCH, leaseOf, openLog, outcomeOf, records, scratch } from "./support.ts";

const segments = (path: string) => readdirSync(path).filter((name) => name.endsWith(".jsonl"));
const text = (path: string) =>
  segments(path)
    .map((name) => readFileSync(join(path, name), "utf8"))
    .join("");

test("a decision that resolved is in the file", async () => {
  const path = scratch();
  const log = await openLog(path);
  const id = await decide(log);
  expect(text(path)).toContain(`"id":"${id}"`);
});

test("a record is one JSON line with stamp, members in their order, and checksum", async () => {
  const path = scratch();
  const log = await openLog(path);
  await decide(log, { listed: 2, of: 5 });
  const line = text(path).trimEnd().split("\n").at(-1) ?? "";
  expect(line).toMatch(/,"crc":"[0-9a-f]{8}"}$/);
  expect(Object.keys(JSON.parse(line)).join(" ")).toBe(
    "v seq id time phase server era method rpc_id client_ip revision principal target arguments arguments_sha256 " +
      "context effect code grant requirements reasons trace_id listed of crc",
  );
  expect(JSON.parse(line)).toMatchObject({ v: 1, seq: 2, time: "2026-11-22T00:00:00.000Z", principal: ann });
});

test("what is read back is what was recorded", async () => {
  const path = scratch();
  const log = await openLog(path);
  const entry = decisionOf({
    arguments: { quote: '"crc":"00000000"}', line: "a\nb", lone: "\ud800", nested: [{ x: null }] },
  });
  await log.decision("d1", entry);
  log.outcome(outcomeOf("d1", { status: "upstream_timeout", is_error: true }));
  await log.close();
  const [decision, outcome] = await records(path);
  expect(decision).toEqual({ v: 1, seq: 2, id: "d1", time: new Date(EPOCH).toISOString(), ...entry });
  expect(outcome).toMatchObject({ phase: "outcome", seq: 3, decision: "d1", status: "upstream_timeout" });
});

test("records of many callers at once are in one order without gaps, across segments", async () => {
  const path = scratch();
  const log = await openLog(path, { segmentBytes: 4096 });
  const ids = await Promise.all(Array.from({ length: 200 }, () => decide(log)));
  for (const id of ids) log.outcome(outcomeOf(id));
  await log.close();
  expect(segments(path).length).toBeGreaterThan(10);
  const checked = await verifyLog(path);
  expect(checked).toMatchObject({ ok: true, first: 1, open: [], torn: 0 });
  const found = await records(path);
  expect(found.filter(({ phase }) => phase === "decision").map(({ id }) => id)).toEqual(ids);
});

test("a later process goes on with the next seq", async () => {
  const path = scratch();
  const first = await openLog(path);
  await decide(first, { effect: "deny", code: "not_found" });
  await first.close();
  await decide(await openLog(path), { effect: "deny", code: "not_found" });
  expect((await records(path)).map(({ seq }) => seq)).toEqual([2, 3]);
});

test("the clock may go back, the order of records does not", async () => {
  const path = scratch();
  let now = EPOCH;
  const log = await openLog(path, { clock: () => now });
  await decide(log);
  now -= 3_600_000;
  await decide(log);
  const [one, two] = await records(path);
  expect(two?.seq).toBe((one?.seq ?? 0) + 1);
  expect(two?.time).toBe("2026-11-21T23:00:00.000Z");
});

test("an outcome is durable with the next group or by itself soon after", async () => {
  const path = scratch();
  const log = await openLog(path);
  const [early, late] = [await decide(log), await decide(log)];
  log.outcome(outcomeOf(early));
  await expect.poll(() => text(path), { interval: 5 }).toContain(`"phase":"outcome","decision":"${early}"`);
  // By now no group is under way that it could go with.
  await delay(50);
  log.outcome(outcomeOf(late));
  await expect.poll(() => text(path), { interval: 5 }).toContain(`"phase":"outcome","decision":"${late}"`);
});

test("the minting of a lease that resolved is in the file, and none resolves that could not be written", async () => {
  const path = scratch();
  const log = await openLog(path);
  const id = await decide(log);
  await log.lease(leaseOf(id));
  expect(text(path)).toContain(`"phase":"lease","event":"minted","decision":"${id}"`);
  await log.lease(leaseOf(id, { event: "revoked" }));
  await log.close();
  expect(text(path)).toContain(`"phase":"lease","event":"revoked","decision":"${id}"`);
  await expect(log.lease(leaseOf(id))).rejects.toMatchObject({ code: "audit_unavailable" });
});

test("only its owner can read the log", async () => {
  const path = join(scratch(), "new", "log");
  await decide(await openLog(path));
  expect(statSync(path).mode & 0o777).toBe(0o700);
  for (const name of readdirSync(path)) expect(statSync(join(path, name)).mode & 0o777).toBe(0o600);
});

test("a secret that strays into an entry is written as [secret]", async () => {
  const path = scratch();
  const log = await openLog(path);
  const secret = new Secret("hunter2") as unknown as string;
  const principal = Object.freeze({ ...ann, attributes: Object.freeze({ token: secret }) });
  await decide(log, { principal, arguments: { token: secret }, reasons: [secret] });
  expect(text(path)).not.toContain("hunter2");
  expect(text(path).match(/\[secret\]/g)).toHaveLength(3);
});

test("only members of the record's shape are written", async () => {
  const path = scratch();
  const log = await openLog(path);
  await decide(log, { authorization: "Bearer abc" } as Partial<DecisionEntry>);
  expect(text(path)).not.toContain("Bearer");
});

test("a principal that changed between two decisions is recorded as it was at each", async () => {
  const path = scratch();
  const log = await openLog(path);
  const principal = { ...ann };
  await decide(log, { principal });
  principal.subject = "bob";
  await decide(log, { principal });
  const subjects = (await records(path)).map(
    (record) => record.phase === "decision" && record.principal?.subject,
  );
  expect(subjects).toEqual(["ann", "bob"]);
});

test("a number that JSON has not leaves the line one that can be read", async () => {
  const path = scratch();
  const log = await openLog(path);
  log.outcome(outcomeOf(await decide(log), { ms: Number.NaN, bytes: Number.POSITIVE_INFINITY }));
  await log.close();
  expect((await records(path)).at(-1)).toMatchObject({ phase: "outcome", ms: null, bytes: null });
});

test("an entry that is not JSON is refused and leaves no gap", async () => {
  const path = scratch();
  const log = await openLog(path);
  const circular: Record<string, unknown> = {};
  circular.self = circular;
  await expect(decide(log, { arguments: circular as never })).rejects.toMatchObject({
    code: "audit_unavailable",
  });
  await decide(log);
  expect(await verifyLog(path)).toMatchObject({ ok: true, last: 2 });
});

test("more waiting bytes than allowed: decisions are refused, those that wait are kept", async () => {
  const path = scratch();
  const log = await openLog(path, { maxPendingBytes: 4096 });
  const results = await Promise.allSettled(Array.from({ length: 50 }, () => decide(log)));
  const refused = results.filter((result) => result.status === "rejected");
  expect(refused.length).toBeGreaterThan(30);
  for (const { reason } of refused) expect(reason).toMatchObject({ code: "overloaded" });
  expect(await records(path)).toHaveLength(50 - refused.length);
  const lines = readFileSync(join(path, "000000000001.jsonl"), "utf8").trimEnd().split("\n");
  // The last of them was let in below the limit.
  expect(lines.slice(0, -1).join("\n").length).toBeLessThan(4096);
  expect(log.healthy).toBe(true);
  await decide(log);
});

test.each([
  ["removed", rmSync],
  ["moved away", (file: string) => renameSync(file, `${file}.old`)],
  [
    "replaced by its own copy",
    (file: string) => {
      cpSync(file, `${file}.new`);
      renameSync(`${file}.new`, file);
    },
  ],
])(
  "a log whose file was %s while it is written to refuses within a second, and for good",
  async (_, take) => {
    const path = scratch();
    const onFatal = vi.fn();
    // What the failed write left pending hides from nobody why it is refused.
    const log = await openLog(path, { onFatal, maxPendingBytes: 100 });
    await decide(log);
    take(join(path, "000000000001.jsonl"));
    const unavailable = { code: "audit_unavailable" };
    await vi.waitFor(() => expect(decide(log)).rejects.toMatchObject(unavailable), 3000);
    expect(log.healthy).toBe(false);
    expect(onFatal).toHaveBeenCalledOnce();
    await expect(decide(log)).rejects.toMatchObject(unavailable);
  },
);

test("a closed log refuses decisions", async () => {
  const log = await openLog(scratch());
  await log.close();
  expect(log.healthy).toBe(false);
  await expect(decide(log)).rejects.toMatchObject({ code: "audit_unavailable" });
});

test("what comes after a log was closed is dropped or refused, and ends nothing", async () => {
  const path = scratch();
  const fatal: unknown[] = [];
  const log = await openLog(path, { onFatal: (error) => fatal.push(error) });
  const id = await decide(log);
  await log.close();
  const before = text(path);
  log.outcome(outcomeOf(id));
  for (const late of [log.lease(leaseOf(id)), decide(log)])
    await expect(late).rejects.toMatchObject({ code: "audit_unavailable" });
  await delay(60);
  expect([text(path), fatal]).toEqual([before, []]);
});

test("close waits for what is pending", async () => {
  const path = scratch();
  const log = await openLog(path);
  const pending = decide(log);
  await log.close();
  expect((await records(path)).map(({ id }) => id)).toEqual([await pending]);
});

test("readLog starts at a seq and filters", async () => {
  const path = scratch();
  const log = await openLog(path, { segmentBytes: 2048 });
  for (let index = 0; index < 20; index += 1)
    await decide(log, { rpc_id: index, effect: "deny", code: "not_found" });
  const all = await records(path);
  const from = all[12]?.seq ?? 0;
  expect(await records(path, { from })).toEqual(all.slice(12));
  const even = await records(path, {
    filter: (record) => record.phase === "decision" && Number(record.rpc_id) % 2 === 0,
  });
  expect(even).toHaveLength(10);
});

test("an unfinished line at the end of a log in use is not an error for a reader", async () => {
  const path = scratch();
  const log = await openLog(path);
  await decide(log);
  const [name = ""] = segments(path);
  writeFileSync(join(path, name), '{"v":1,"seq":3,"id', { flag: "a" });
  expect(await records(path)).toHaveLength(1);
  expect(await verifyLog(path)).toMatchObject({ ok: true, torn: 18 });
});

test("an empty directory verifies as an empty log", async () => {
  const path = join(scratch(), "log");
  mkdirSync(path);
  expect(await verifyLog(path)).toEqual({ ok: true, segments: 0, first: 0, last: 0, torn: 0, open: [] });
});
