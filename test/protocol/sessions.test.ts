import { afterEach, describe, expect, test } from "vitest";
import { randomId } from "../../src/lib/ids.ts";
import {
  type ClientSession,
  createInFlight,
  createSessions,
  type Sessions,
} from "../../src/protocol/sessions.ts";

let now = 0;
let ended: [string, string][] = [];
let sessions: Sessions;

function open(limits = { sessions: 10, sessions_per_owner: 3, session_idle_ms: 1000 }): Sessions {
  now = 1_000_000;
  ended = [];
  sessions = createSessions({
    limits,
    clock: () => now,
    newId: randomId,
    onEnd: (session, why) => ended.push([session.owner, why]),
  });
  return sessions;
}

afterEach(() => sessions.close());

const start = (owner: string, server = "support"): Promise<ClientSession> =>
  sessions.create({ owner, server, version: "2025-11-25", clientInfo: null, clientCapabilities: null });

test("a session is its owner's, on its server; to anyone else it does not exist", async () => {
  open();
  const { id } = await start("ann");
  expect(id).toMatch(/^[\w-]{22}$/);
  expect(await sessions.get(id, "ann", "support")).toMatchObject({ owner: "ann" });
  expect(await sessions.get(id, "bob", "support")).toBeUndefined();
  expect(await sessions.get(id, "ann", "other")).toBeUndefined();
  expect(await sessions.delete(id, "bob", "support")).toBe(false);
  expect(await sessions.get(id, "ann", "support")).toBeDefined();
  expect(await sessions.get("__proto__", "ann", "support")).toBeUndefined();
});

test("a deleted session is unknown, and what it was doing is cancelled", async () => {
  open();
  const { id, requests } = await start("ann");
  let aborted = 0;
  requests.begin(1, () => aborted++);
  expect(await sessions.delete(id, "ann", "support")).toBe(true);
  expect(await sessions.get(id, "ann", "support")).toBeUndefined();
  expect(aborted).toBe(1);
  expect(ended).toEqual([["ann", "deleted"]]);
});

test("an idle session ends; use and an answer under way keep it", async () => {
  open();
  const idle = await start("ann");
  const used = await start("bob");
  const busy = await start("cho");
  busy.requests.begin("r", () => {});
  now += 900;
  await sessions.get(used.id, "bob", "support");
  now += 200;
  expect(await sessions.get(idle.id, "ann", "support")).toBeUndefined();
  expect(await sessions.get(used.id, "bob", "support")).toBeDefined();
  expect(await sessions.get(busy.id, "cho", "support")).toBeDefined();
  expect(ended).toEqual([["ann", "idle"]]);
});

test("one owner cannot fill the room, and all together cannot", async () => {
  open({ sessions: 4, sessions_per_owner: 3, session_idle_ms: 1000 });
  const [first] = await Promise.all([start("ann"), start("ann"), start("ann")]);
  const full = expect.objectContaining({ code: "too_many_sessions" });
  await expect(start("ann")).rejects.toEqual(full);
  await start("bob");
  await expect(start("cho")).rejects.toEqual(full);
  await sessions.delete(first.id, "ann", "support");
  await start("ann");
  now += 2000;
  await start("cho");
  expect(sessions.size).toBe(1);
});

test("closing ends every session", async () => {
  open();
  await start("ann");
  await start("bob");
  await sessions.close();
  expect(sessions.size).toBe(0);
  expect(ended.map(([, why]) => why)).toEqual(["closed", "closed"]);
});

describe("requests in flight", () => {
  test('an id is free again only when its request has ended; 1 and "1" are two ids', () => {
    const requests = createInFlight();
    requests.begin(1, () => {});
    requests.begin("1", () => {});
    expect(() => requests.begin(1, () => {})).toThrow(expect.objectContaining({ code: "id_in_use" }));
    requests.end(1);
    requests.begin(1, () => {});
    expect(requests.size).toBe(2);
  });

  test("a cancel reaches its request alone", () => {
    const requests = createInFlight();
    const cancelled: string[] = [];
    requests.begin("a", () => cancelled.push("a"));
    requests.begin("b", () => cancelled.push("b"));
    expect(requests.cancel("a")).toBe(true);
    expect(requests.cancel("c")).toBe(false);
    expect(cancelled).toEqual(["a"]);
  });
});
