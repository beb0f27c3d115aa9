import { expect, onTestFinished, test, vi } from "vitest";
import type { Exchange, Identity } from "../../src/domain.ts";
import type { Ask } from "../../src/gate/ask.ts";
import { createGate } from "../../src/gate/gate.ts";
import { beginLife } from "../../src/gate/life.ts";
import { listen } from "../../src/gate/listen.ts";
import type { Rooms } from "../../src/gate/rooms.ts";
import { type Opening, stand } from "../../src/gate/standing.ts";
import { Cancellation } from "../../src/lib/cancellation.ts";
import { PortcullisError } from "../../src/lib/errors.ts";
import { plainPrincipal } from "../../src/lib/principal.ts";
import { createInFlight } from "../../src/protocol/in-flight.ts";
import { timerLists } from "../timer-lists.ts";

test("a stream that ended leaves nothing that waits for the end of its token", () => {
  const before = timerLists();
  for (let at = 0; at < 100; at += 1) {
    const exchange = new Cancellation();
    const life = beginLife({ expires: 90_000 } as Identity, { clock: () => at }, exchange);
    exchange.abort();
    expect(life.signal.aborted).toBe(true);
  }
  expect(timerLists() - before).toBeLessThan(10);
});

test("a listen that finds no place waits for nothing", async () => {
  const overloaded = () => {
    throw new PortcullisError("overloaded");
  };
  const rooms = {
    clock: () => 0,
    streams: { listen: overloaded },
    servers: new Map([["main", { title: "", instructions: "" }]]),
    gatewayInfo: {},
    catalog: { view: () => ({ upstreams: new Map() }) },
  } as unknown as Rooms;
  const before = timerLists();
  for (let at = 0; at < 100; at += 1) {
    const ask = {
      identity: { expires: 90_000 + at },
      message: { params: {} },
      seen: { server: "main" },
      signal: new Cancellation(),
    } as unknown as Ask;
    await expect(listen(ask, rooms)).rejects.toMatchObject({ code: "overloaded" });
  }
  expect(timerLists() - before).toBeLessThan(10);
});

test("a stream ends with the token that opened it, and one whose client has left does not begin", () => {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  const clock = () => 1_000_000;
  const life = beginLife({ expires: 1010 } as Identity, { clock }, new Cancellation());
  vi.advanceTimersByTime(9_999);
  expect(life.signal.aborted).toBe(false);
  vi.advanceTimersByTime(1);
  expect(life.signal.aborted).toBe(true);
  const left = new Cancellation();
  left.abort();
  expect(beginLife({ expires: 1010 } as Identity, { clock }, left).signal.aborted).toBe(true);
});

test("a request that is over holds no place, and waits no more for the end of its run or tenant", async () => {
  const principal = plainPrincipal({ kind: "user", issuer: "https://idp", subject: "ann", tenant: "acme" });
  let waiting = 0;
  const gate = createGate({
    identity: { authenticate: async () => ({ principal, tenant: { id: "acme" }, expires: 9e9, digest: "" }) },
    admission: {
      check() {},
      onEnd() {
        waiting += 1;
        return () => {
          waiting -= 1;
        };
      },
    },
    mayUse: () => true,
    limits: { page: 1, inFlight: 1, perTenant: 1, perUser: 1 },
    decisions: { newId: () => "id", decision: async () => {} },
    metrics: { decided() {} },
    clock: Date.now,
  } as unknown as Rooms);
  const told: string[] = [];
  const json = (_: number, text: string) => void told.push(JSON.parse(text).error.data.code);
  const header = () => undefined;
  const whenOver = (leave: () => void) => leave();
  const exchange = { server: "main", verb: "DELETE", clientIp: "", header, whenOver, reply: { json } };
  for (let at = 0; at < 3; at += 1) await gate.handle(exchange as unknown as Exchange);
  expect(told).toEqual(Array(3).fill("session_required"));
  expect(waiting).toBe(0);
});

test("who has no token holds no place, however slowly the refusal is taken", async () => {
  const gate = createGate({
    identity: {
      authenticate: async () => Promise.reject(new PortcullisError("token_missing")),
    },
    refusals: { refuse: async () => {} },
    limits: { page: 1, inFlight: 1, perTenant: 1, perUser: 1 },
    metrics: { decided() {} },
    clock: Date.now,
  } as unknown as Rooms);
  const told: string[] = [];
  const json = (_: number, text: string) => void told.push(JSON.parse(text).error.data.code);
  const exchange = {
    server: "main",
    verb: "DELETE",
    clientIp: "",
    header() {},
    whenOver() {},
    reply: { json },
  };
  for (let at = 0; at < 3; at += 1) await gate.handle(exchange as unknown as Exchange);
  expect(told).toEqual(Array(3).fill("token_missing"));
});

test("a stream of a session that has ended says nothing, hears nothing, and keeps nothing", async () => {
  const did: string[] = [];
  const note = (what: string) => () => void did.push(what);
  const stream = { send: note("say"), end: note("end"), closed: new Promise(() => {}) };
  const requests = createInFlight();
  requests.abortAll();
  const leaving = () => () => {};
  const rooms = {
    newId: () => "id",
    clock: Date.now,
    streams: { take: () => ({ before: Promise.resolve(), leave() {} }) },
    events: { append: note("keep") },
    sessions: { watch: leaving },
    elicitations: { onComplete: leaving },
    onChange: leaving,
    catalog: { view: note("hear") },
  } as unknown as Rooms;
  const exchange = { reply: { stream: () => stream }, signal: new Cancellation(), outlive() {} };
  const identity = {
    expires: 9e9,
    principal: plainPrincipal({ kind: "user", issuer: "https://idp", subject: "ann", tenant: "acme" }),
  };
  const session = { id: "s", version: "2025-11-25", server: "main", subscriptions: [], requests };
  await stand({ exchange, identity, session } as unknown as Opening, rooms, "id", undefined);
  expect(did).toEqual(["end"]);
  expect(requests.size).toBe(0);
});
