import { randomBytes } from "node:crypto";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import type { SharedStore } from "../../src/domain.ts";
import { systemClock } from "../../src/lib/clock.ts";
import { silentLog } from "../../src/lib/log.ts";
import { createSeal } from "../../src/lib/seal.ts";
import { createEventStore } from "../../src/protocol/events.ts";
import { openValkeyStore } from "../../src/store/valkey.ts";
import { type Replica, start, startReplica } from "../protocol/replica.ts";
import { startValkey, type Valkey } from "../support/valkey.ts";

const KEY = randomBytes(32);
const LIMITS = { sessions: 8, sessions_per_principal: 5, session_idle_ms: 60_000 };
let valkey: Valkey;
let closing: { close(): Promise<void> }[] = [];
let prefix = 0;

beforeAll(async () => {
  valkey = await startValkey();
});
afterAll(() => valkey.close());
afterEach(async () => {
  for (const one of closing.reverse()) await one.close();
  closing = [];
});

interface Node extends Replica {
  readonly store: SharedStore;
  /** Commands that it sent so far. */
  sent(): number;
}

async function node(name: string, limits = LIMITS): Promise<Node> {
  const real = await openValkeyStore({ url: valkey.url, prefix: `${prefix}:`, log: silentLog });
  let sent = 0;
  const store = new Proxy(real, {
    get(target, member: keyof SharedStore) {
      const value = target[member];
      if (typeof value !== "function") return value;
      return (...args: never[]) => {
        sent += 1;
        return (value as (...args: never[]) => unknown)(...args);
      };
    },
  });
  closing.push(real);
  const replica = await startReplica({ store, node: name, key: KEY, clock: systemClock, limits });
  closing.push(replica);
  return { ...replica, store, sent: () => sent };
}

async function pair(limits = LIMITS): Promise<[Node, Node]> {
  prefix += 1;
  return Promise.all([node("a", limits), node("b", limits)]);
}

const until = (check: () => boolean) => expect.poll(check, { interval: 5 }).toBe(true);

test("what sessions hold at a replica goes with who may hold nothing, also while the store is away", async () => {
  const [a] = await pair();
  const [anns, bobs] = [await a.sessions.create(start("ann")), await a.sessions.create(start("bob"))];
  let cancelled = 0;
  anns.requests.begin(1, () => cancelled++);
  bobs.requests.begin(1, () => cancelled++);
  valkey.pause();
  try {
    await expect(a.sessions.deleteWhere((principalKey) => principalKey === "ann")).rejects.toMatchObject({
      code: "store_unavailable",
    });
    expect([a.ended, cancelled, a.sessions.size]).toEqual([[["ann", "deleted"]], 1, 1]);
  } finally {
    valkey.resume();
  }
});

test("a session opened at one replica is served at the other, at one command a request", async () => {
  const [a, b] = await pair();
  const { id } = await a.sessions.create(start("ann"));
  expect(await b.sessions.get(id, "ann", "support")).toMatchObject({ ...start("ann"), id, logLevel: null });
  expect(await b.sessions.get(id, "bob", "support")).toBeUndefined();
  const before = b.sent();
  for (let i = 0; i < 10; i++) await b.sessions.get(id, "ann", "support");
  expect(b.sent() - before).toBe(10);
});

test("a session deleted at one replica ends at the other, and what it was doing there", async () => {
  const [a, b] = await pair();
  const { id } = await a.sessions.create(start("ann"));
  const atB = await b.sessions.get(id, "ann", "support");
  let aborted = 0;
  atB?.requests.begin("r", () => aborted++);
  expect(await a.sessions.delete(id, "ann", "support")).toBe(true);
  await until(() => aborted === 1);
  expect(b.ended).toEqual([["ann", "deleted"]]);
  expect(await b.sessions.get(id, "ann", "support")).toBeUndefined();
});

test("a request is cancelled at the replica that answers it", async () => {
  const [a, b] = await pair();
  const atA = await a.sessions.create(start("ann"));
  const atB = await b.sessions.get(atA.id, "ann", "support");
  const other = await b.sessions.create(start("bob"));
  const cancelled: string[] = [];
  atB?.requests.begin(7, () => cancelled.push("ann"));
  other.requests.begin(7, () => cancelled.push("bob"));
  a.sessions.cancel(atA, 7);
  await until(() => cancelled.length > 0);
  expect(cancelled).toEqual(["ann"]);
});

test("changes from both replicas at once are all kept, and who watches hears of them", async () => {
  const [a, b] = await pair();
  const { id } = await a.sessions.create(start("ann"));
  await b.sessions.get(id, "ann", "support");
  let heard = 0;
  b.sessions.watch(id, (session) => {
    heard = session?.subscriptions.length ?? -1;
  });
  const uris = Array.from({ length: 12 }, (_, i) => `a:${i}`);
  await Promise.all(
    uris.map((uri, i) =>
      (i % 2 ? a : b).sessions.update(id, ({ subscriptions }) => ({
        subscriptions: [...subscriptions, uri],
      })),
    ),
  );
  await until(() => heard === 12);
  const session = await a.sessions.get(id, "ann", "support");
  expect([...(session?.subscriptions ?? [])].sort()).toEqual([...uris].sort());
});

test("the caps hold over both replicas, however they race", async () => {
  const [a, b] = await pair();
  const race = (principalKey: string) =>
    Promise.allSettled(
      Array.from({ length: 12 }, (_, i) => (i % 2 ? a : b).sessions.create(start(principalKey))),
    );
  const anns = (await race("ann")).filter(({ status }) => status === "fulfilled");
  expect(anns).toHaveLength(5);
  const bobs = (await race("bob")).filter(({ status }) => status === "fulfilled");
  expect(bobs).toHaveLength(3);
});

test("a session that a stopped replica opened goes on at the other", async () => {
  const [a, b] = await pair();
  const { id } = await a.sessions.create(start("ann"));
  await a.close();
  expect(a.ended).toEqual([["ann", "closed"]]);
  expect(await b.sessions.get(id, "ann", "support")).toBeDefined();
});

test("an idle session ends at every replica that knew it", async () => {
  const [a, b] = await pair({ ...LIMITS, session_idle_ms: 2000 });
  const { id } = await a.sessions.create(start("ann"));
  await b.sessions.get(id, "ann", "support");
  await until(() => a.ended.length === 1 && b.ended.length === 1);
  expect([...a.ended, ...b.ended]).toEqual([
    ["ann", "idle"],
    ["ann", "idle"],
  ]);
  expect(await a.store.members("sessions")).toEqual([]);
});

test("while the store is away sessions are unavailable, not unknown; afterwards clients begin anew", async () => {
  const [a] = await pair();
  const { id } = await a.sessions.create(start("ann"));
  await valkey.stop();
  await expect(a.sessions.get(id, "ann", "support")).rejects.toMatchObject({ code: "store_unavailable" });
  await expect(a.sessions.create(start("ann"))).rejects.toMatchObject({ code: "store_unavailable" });
  await valkey.start();
  await until(() => a.store.healthy);
  expect(await a.sessions.get(id, "ann", "support")).toBeUndefined();
  expect(a.ended).toEqual([["ann", "idle"]]);
  await a.sessions.create(start("ann"));
});

test("a stream broken at one replica is resumed at the other", async () => {
  const [a, b] = await pair();
  const seal = createSeal(KEY);
  const events = (one: Node) =>
    createEventStore({ store: one.store, seal, clock: systemClock, idleMs: 60_000 });
  const first = await events(a).append("s1", "stream", "");
  await events(a).append("s1", "other", "no");
  const second = await events(a).append("s1", "stream", '{"n":1}');
  expect(await events(b).after("s1", first)).toEqual({
    stream: "stream",
    events: [{ id: second, text: '{"n":1}' }],
  });
});
