import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { createRefusalCounter } from "../../src/audit/refusals.ts";
import { decisionOf, EPOCH, later, openLog, records, scratch } from "./support.ts";

const refusal = (client_ip: string) =>
  decisionOf({
    client_ip,
    principal: null,
    target: null,
    arguments: null,
    effect: "deny",
    code: "token_invalid",
  });

beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] }));
afterEach(() => void vi.useRealTimers());

async function world() {
  const path = scratch();
  const state = { now: EPOCH };
  const decisions = await openLog(path);
  const refusals = createRefusalCounter({ decisions, clock: () => state.now, individually: 3 });
  later(() => refusals.close());
  return { path, state, decisions, refusals, found: () => records(path) };
}

test("refusals without a valid token are recorded one by one up to a limit, then counted", async () => {
  const { refusals, found } = await world();
  for (let index = 0; index < 100; index += 1) await refusals.refuse(refusal("192.0.2.1"));
  await refusals.refuse(refusal("192.0.2.2"));
  expect(await found()).toHaveLength(4);
  await refusals.close();
  expect((await found()).at(-1)).toMatchObject({ client_ip: "192.0.2.1", code: "token_invalid", count: 97 });
  expect(await found()).toHaveLength(5);
});

test("what was counted is recorded when its second is over, without another request", async () => {
  const { refusals, found } = await world();
  for (let index = 0; index < 9; index += 1) await refusals.refuse(refusal("192.0.2.1"));
  vi.advanceTimersByTime(1000);
  await expect.poll(async () => (await found()).at(-1), { interval: 5 }).toMatchObject({ count: 6 });
});

test("the next second starts anew", async () => {
  const { refusals, state, found } = await world();
  for (let index = 0; index < 5; index += 1) await refusals.refuse(refusal("192.0.2.1"));
  state.now += 1000;
  await refusals.refuse(refusal("192.0.2.1"));
  const counts = (await found()).map((record) => record.phase === "decision" && (record.count ?? 1));
  expect(counts).toEqual([1, 1, 1, 2, 1]);
});

test("many sources cannot fill the disk either, and each refusal is counted", async () => {
  const { refusals, found } = await world();
  // Of each as many as one source may have recorded one by one.
  for (let index = 0; index < 6000; index += 1)
    await refusals.refuse(refusal(`2001:db8::${(index % 2000).toString(16)}`));
  await refusals.close();
  const all = await found();
  expect(all.length).toBeLessThanOrEqual(64 + 257);
  const total = all.reduce((sum, record) => sum + (record.phase === "decision" ? (record.count ?? 1) : 0), 0);
  expect(total).toBe(6000);
  const together = all.filter((record) => record.phase === "decision" && record.client_ip === "");
  expect(together).toMatchObject([{ count: (2000 - 256) * 3 }]);
});

test("a refusal is not told to be recorded when the log is gone, counted or not", async () => {
  const { refusals, decisions } = await world();
  for (let index = 0; index < 5; index += 1) await refusals.refuse(refusal("192.0.2.1"));
  await refusals.close();
  await decisions.close();
  for (let index = 0; index < 5; index += 1) {
    await expect(refusals.refuse(refusal("192.0.2.1"))).rejects.toMatchObject({ code: "audit_unavailable" });
  }
});
