import { randomBytes } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { afterEach, describe, expect, onTestFinished, test } from "vitest";
import type { SharedStore } from "../../src/domain.ts";
import { createMemoryStore } from "../../src/store/memory.ts";
import { type Replica, start as startOf, startReplica } from "./replica.ts";

const KEY = randomBytes(32);
let now = 1_000_000;
let store: SharedStore;
let replica: Replica;

async function open(
  limits = { sessions: 10, sessions_per_principal: 3, session_idle_ms: 1000 },
): Promise<void> {
  now = 1_000_000;
  store = createMemoryStore({ clock: () => now });
  replica = await startReplica({ store, node: "a", key: KEY, clock: () => now, limits });
}

/** Another replica at the same store, until the test is over. */
async function another(session_idle_ms = 1000): Promise<Replica> {
  const limits = { sessions: 10, sessions_per_principal: 3, session_idle_ms };
  const other = await startReplica({ store, node: "b", key: KEY, clock: () => now, limits });
  onTestFinished(() => other.close());
  return other;
}

afterEach(async () => {
  await replica.close();
  await store.close();
});

async function until(check: () => Promise<boolean>): Promise<void> {
  while (!(await check())) await delay(5);
}

const start = (principalKey: string, server?: string) =>
  replica.sessions.create(startOf(principalKey, server));

test("a session is its owner's, on its server; to anyone else it does not exist", async () => {
  await open();
  const { sessions } = replica;
  const { id } = await start("ann");
  expect(id).toMatch(/^[\w-]{22}$/);
  expect(await sessions.get(id, "ann", "support")).toMatchObject(startOf("ann"));
  expect(await sessions.get(id, "bob", "support")).toBeUndefined();
  expect(await sessions.get(id, "ann", "other")).toBeUndefined();
  expect(await sessions.delete(id, "bob", "support")).toBe(false);
  expect(await sessions.get(id, "ann", "support")).toBeDefined();
  for (const guess of ["__proto__", "", `${id} `, id.slice(0, -1), "A".repeat(10_000)])
    expect(await sessions.get(guess, "ann", "support")).toBeUndefined();
});

test("at a replica that has not seen it a session is its owner's alone, on its server, as well", async () => {
  await open();
  const other = await another();
  const { id } = await start("ann");
  expect(await other.sessions.get(id, "bob", "support")).toBeUndefined();
  expect(await other.sessions.get(id, "ann", "other")).toBeUndefined();
  expect(await other.sessions.get(id, "ann", "support")).toMatchObject(startOf("ann"));
});

test("whoever is not its owner keeps no session alive", async () => {
  await open();
  const { id } = await start("ann");
  now += 900;
  await replica.sessions.get(id, "bob", "support");
  now += 200;
  expect(await replica.sessions.get(id, "ann", "support")).toBeUndefined();
});

test("a session got again is the same one, with the same requests", async () => {
  await open();
  const session = await start("ann");
  expect(await replica.sessions.get(session.id, "ann", "support")).toBe(session);
});

test("a deleted session is unknown, and what it was doing is cancelled", async () => {
  await open();
  const { id, requests } = await start("ann");
  let aborted = 0;
  requests.begin(1, () => aborted++);
  expect(await replica.sessions.delete(id, "ann", "support")).toBe(true);
  expect(await replica.sessions.get(id, "ann", "support")).toBeUndefined();
  expect(await replica.sessions.delete(id, "ann", "support")).toBe(false);
  expect(aborted).toBe(1);
  expect(replica.ended).toEqual([["ann", "deleted"]]);
});

test("a cancellation that overtakes its request, here or through another replica, cancels it when it comes", async () => {
  await open();
  const other = await another(60_000);
  const here = await start("ann");
  replica.sessions.cancel(here, 1);
  replica.sessions.cancel(here, "1");
  replica.sessions.cancel(here, 3);
  const aborted: unknown[] = [];
  const begin = ({ requests }: typeof here, id: number | string) => {
    requests.begin(id, () => aborted.push(id));
    requests.end(id);
  };
  begin(here, 1);
  // The other one had not seen the session.
  const there = await other.sessions.get(here.id, "ann", "support");
  if (there === undefined) throw new Error("no session");
  begin(there, "1");
  begin(there, 2);
  expect(aborted).toEqual([1, "1"]);
  now += 6000;
  begin(there, 3);
  // Each is cancelled once.
  begin(here, 1);
  expect(aborted).toEqual([1, "1"]);
});

test("an idle session makes way when its place is needed; one in use stays", async () => {
  await open({ sessions: 2, sessions_per_principal: 3, session_idle_ms: 1000 });
  const { sessions } = replica;
  const idle = await start("ann");
  const used = await start("bob");
  now += 900;
  await sessions.get(used.id, "bob", "support");
  now += 200;
  await start("dee");
  expect(await sessions.get(idle.id, "ann", "support")).toBeUndefined();
  expect(await sessions.get(used.id, "bob", "support")).toBeDefined();
  expect(replica.ended).toEqual([["ann", "idle"]]);
});

test("an answer under way keeps its session, for longer than a client may be silent", async () => {
  await open({ sessions: 2, sessions_per_principal: 3, session_idle_ms: 1000 });
  let touched = 0;
  const { touch } = store;
  store.touch = (key, ttl) => {
    touched += 1;
    return touch(key, ttl);
  };
  const busy = await start("ann");
  busy.requests.begin("r", () => {});
  for (let passed = 0; passed < 3; passed++) {
    const before = touched;
    now += 900;
    await until(async () => touched > before);
  }
  expect(await replica.sessions.get(busy.id, "ann", "support")).toBe(busy);
});

test("an idle session is noticed when it is asked for", async () => {
  await open();
  const { id } = await start("ann");
  now += 1000;
  expect(await replica.sessions.get(id, "ann", "support")).toBeUndefined();
  expect(replica.ended).toEqual([["ann", "idle"]]);
  expect(replica.sessions.size).toBe(0);
});

test("an idle session that was noticed leaves its place at once", async () => {
  await open({ sessions: 1, sessions_per_principal: 1, session_idle_ms: 1000 });
  const { id } = await start("ann");
  now += 1000;
  expect(await replica.sessions.get(id, "ann", "support")).toBeUndefined();
  await start("bob");
});

test("who may hold nothing any more holds no session at another replica either, and has left its place", async () => {
  await open({ sessions: 1, sessions_per_principal: 1, session_idle_ms: 1000 });
  const other = await another();
  const { id } = await start("ann");
  await other.sessions.get(id, "ann", "support");
  await replica.sessions.deleteWhere((principalKey) => principalKey === "ann");
  await until(async () => other.ended.length > 0);
  expect([replica.ended, other.ended]).toEqual([[["ann", "deleted"]], [["ann", "deleted"]]]);
  await start("bob");
});

test("one owner cannot fill the room, and all together cannot, however they race", async () => {
  await open({ sessions: 4, sessions_per_principal: 3, session_idle_ms: 1000 });
  const race = await Promise.allSettled(Array.from({ length: 10 }, () => start("ann")));
  const opened = race.filter((one) => one.status === "fulfilled");
  expect(opened).toHaveLength(3);
  const full = expect.objectContaining({ code: "too_many_sessions" });
  await expect(start("ann")).rejects.toEqual(full);
  await start("bob");
  await expect(start("cho")).rejects.toEqual(full);
  await replica.sessions.delete(opened[0]?.value.id ?? "", "ann", "support");
  await start("ann");
  now += 2000;
  await start("cho");
  await until(async () => replica.sessions.size === 1);
});

test("who was refused for the room took no place of his own", async () => {
  await open({ sessions: 1, sessions_per_principal: 1, session_idle_ms: 1000 });
  const { id } = await start("ann");
  await expect(start("bob")).rejects.toMatchObject({ code: "too_many_sessions" });
  await replica.sessions.delete(id, "ann", "support");
  await start("bob");
});

test("a session in use stays counted, however long it lives", async () => {
  await open({ sessions: 1, sessions_per_principal: 1, session_idle_ms: 1000 });
  const { id } = await start("ann");
  for (let passed = 0; passed < 10; passed++) {
    now += 900;
    await replica.sessions.get(id, "ann", "support");
    await expect(start("bob")).rejects.toMatchObject({ code: "too_many_sessions" });
  }
});

test("closing ends every session here", async () => {
  await open();
  await start("ann");
  await start("bob");
  await replica.sessions.close();
  expect(replica.sessions.size).toBe(0);
  expect(replica.ended.map(([, why]) => why)).toEqual(["closed", "closed"]);
});

describe("changes", () => {
  test("a change is kept, and told to who watches", async () => {
    await open();
    const { sessions } = replica;
    const before = await start("ann");
    const seen: unknown[] = [];
    const stop = sessions.watch(before.id, (session) => seen.push(session.logLevel));
    const after = await sessions.update(before.id, () => ({ logLevel: "error" }));
    expect(after).toMatchObject({ logLevel: "error", id: before.id });
    expect(after?.requests).toBe(before.requests);
    expect(await sessions.get(before.id, "ann", "support")).toBe(after);
    await sessions.delete(before.id, "ann", "support");
    stop();
    expect(seen).toEqual(["error"]);
    expect(await sessions.update(before.id, () => ({ logLevel: "info" }))).toBeUndefined();
  });

  test("a client subscribes to a hundred resources, and to no more", async () => {
    await open();
    const { sessions } = replica;
    const { id } = await start("ann");
    const uris = Array.from({ length: 100 }, (_, i) => `a:${i}`);
    await sessions.update(id, () => ({ subscriptions: uris }));
    const more = sessions.update(id, ({ subscriptions }) => ({
      subscriptions: [...subscriptions, "a:more"],
    }));
    await expect(more).rejects.toMatchObject({ code: "too_many_subscriptions" });
    expect((await sessions.get(id, "ann", "support"))?.subscriptions).toEqual(uris);
  });

  test("changes that race are all kept", async () => {
    await open();
    const { sessions } = replica;
    const { id } = await start("ann");
    await Promise.all(
      Array.from({ length: 10 }, (_, i) =>
        sessions.update(id, ({ subscriptions }) => ({ subscriptions: [...subscriptions, `a:${i}`] })),
      ),
    );
    expect((await sessions.get(id, "ann", "support"))?.subscriptions).toHaveLength(10);
  });
});

describe("what lies in the store", () => {
  /** Every value that was ever written, by key. */
  function watched(real: SharedStore): [SharedStore, Map<string, string>] {
    const written = new Map<string, string>();
    const add: SharedStore["add"] = (key, value, ttl) => {
      written.set(key, value);
      return real.add(key, value, ttl);
    };
    return [{ ...real, add }, written];
  }

  test("tells its reader neither the ids nor anything of the clients", async () => {
    await open();
    const [spied, written] = watched(store);
    const limits = { sessions: 10, sessions_per_principal: 3, session_idle_ms: 1000 };
    const other = await startReplica({ store: spied, node: "b", key: KEY, clock: () => now, limits });
    const { id } = await other.sessions.create(startOf("ann of acme", "the support desk"));
    const values = [...written.values()];
    const all = [
      ...written.keys(),
      ...values,
      ...values.map((one) => Buffer.from(one, "base64url").toString()),
    ];
    // None but the id could stand in what is sealed by chance.
    for (const secret of [id, "ann of acme", "the support desk", '"roots"'])
      expect(all.join("\n")).not.toContain(secret);
    await other.close();
  });

  test("cannot be forged, nor moved to another session's place", async () => {
    await open();
    const [spied, written] = watched(store);
    const limits = { sessions: 10, sessions_per_principal: 3, session_idle_ms: 1000 };
    const writer = await startReplica({ store: spied, node: "b", key: KEY, clock: () => now, limits });
    const mine = await writer.sessions.create(startOf("eve"));
    const theirs = await writer.sessions.create(startOf("ann"));
    const [[myKey = "", myValue = ""] = [], [theirKey = ""] = []] = [...written];
    await store.set(theirKey, myValue, 1000);
    await store.set(myKey, "forged", 1000);
    const reader = await startReplica({ store, node: "c", key: KEY, clock: () => now, limits });
    expect(await reader.sessions.get(theirs.id, "eve", "support")).toBeUndefined();
    expect(await reader.sessions.get(theirs.id, "ann", "support")).toBeUndefined();
    expect(await reader.sessions.get(mine.id, "eve", "support")).toBeUndefined();
    await reader.close();
    await writer.close();
  });

  test("is nothing to a gateway of another key", async () => {
    await open();
    const { id } = await start("ann");
    const limits = { sessions: 10, sessions_per_principal: 3, session_idle_ms: 1000 };
    const stranger = await startReplica({ store, node: "s", key: randomBytes(32), clock: () => now, limits });
    expect(await stranger.sessions.get(id, "ann", "support")).toBeUndefined();
    await stranger.close();
  });
});
