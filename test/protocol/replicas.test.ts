import { randomBytes } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { afterEach, expect, test } from "vitest";
import type { SharedStore } from "../../src/domain.ts";
import { systemClock } from "../../src/lib/clock.ts";
import { PortcullisError } from "../../src/lib/errors.ts";
import { randomId } from "../../src/lib/ids.ts";
import type { JsonObject } from "../../src/lib/json.ts";
import { silentLog } from "../../src/lib/log.ts";
import { createSeal } from "../../src/lib/seal.ts";
import { createReplicas, type Replicas } from "../../src/protocol/replicas.ts";
import { createMemoryStore } from "../../src/store/memory.ts";
import { event } from "../upstream/servers.ts";

const KEY = randomBytes(32);
const BEAT = 200;
let store: SharedStore;
let open: Replicas[] = [];

function newStore(): void {
  store = createMemoryStore({ clock: systemClock });
}

async function replica(node: string, key = KEY): Promise<Replicas> {
  const made = await createReplicas({
    store,
    node,
    seal: createSeal(key),
    newId: randomId,
    clock: systemClock,
    log: silentLog,
    beatMs: BEAT,
  });
  open.push(made);
  return made;
}

afterEach(async () => {
  for (const one of open) await one.close();
  open = [];
  await store.close();
});

/** Until what was published has been heard. */
const turn = () => new Promise((resolve) => setImmediate(resolve));

const never = new AbortController().signal;
const patient = { signal: never, timeoutMs: 60_000 };

function heardBy(replicas: Replicas, type: string): [JsonObject, string][] {
  const heard: [JsonObject, string][] = [];
  replicas.onMessage(type, (message, from) => heard.push([message, from]));
  return heard;
}

test("a node is told what was meant for it, and all are told what is for all, in order", async () => {
  newStore();
  const [a, b, c] = [await replica("a"), await replica("b"), await replica("c")];
  const [atA, atB, atC] = [heardBy(a, "t"), heardBy(b, "t"), heardBy(c, "t")];
  await a.tell("b", "t", { n: 1 });
  await a.tell("b", "other", { n: 2 });
  await a.tell("nobody", "t", { n: 3 });
  await c.broadcast("t", { n: 4 });
  await turn();
  expect(atA).toEqual([[{ n: 4 }, "c"]]);
  expect(atB).toEqual([
    [{ n: 1 }, "a"],
    [{ n: 4 }, "c"],
  ]);
  expect(atC).toEqual([[{ n: 4 }, "c"]]);
});

test("what no replica sealed, or sealed for another channel, is not heard", async () => {
  newStore();
  const [a, stranger] = [await replica("a"), await replica("s", randomBytes(32))];
  const heard = heardBy(a, "t");
  await stranger.tell("a", "t", { forged: true });
  await store.publish("replica a", "not sealed");
  await store.publish("replica a", "A".repeat(9 << 20));
  // A keeper of the store sends what was said to all, or to another, to one node alone.
  const copied: string[] = [];
  await store.subscribe("replica b", (text) => copied.push(text));
  await a.tell("b", "t", { for: "b" });
  await turn();
  await store.publish("replica a", copied[0] ?? "");
  await turn();
  expect(heard).toEqual([]);
});

test("a message of unbounded size is not sent", async () => {
  newStore();
  const a = await replica("a");
  await expect(a.broadcast("t", { text: "x".repeat(8 << 20) })).rejects.toEqual(
    expect.objectContaining({ code: "internal" }),
  );
});

test("a node answers with what happens on the way and then its reply", async () => {
  newStore();
  const [a, b] = [await replica("a"), await replica("b")];
  b.serve("resume", async (request, { from, event }) => {
    for (let n = 0; n < 20; n++) event({ n });
    await delay(BEAT * 4);
    event({ n: 20 });
    return { from, request };
  });
  const events: JsonObject[] = [];
  // Longer than silence would be borne: its beats keep it alive.
  const reply = await a.ask(
    "b",
    "resume",
    { state: "s" },
    { ...patient, onEvent: (event) => events.push(event) },
  );
  expect(reply).toEqual({ from: "a", request: { state: "s" } });
  expect(events.map(({ n }) => n)).toEqual(Array.from({ length: 21 }, (_, n) => n));
  expect(await b.ask("b", "resume", {}, patient)).toMatchObject({ from: "b" });
});

test("what a node throws reaches who asked, with its code", async () => {
  newStore();
  const [a, b] = [await replica("a"), await replica("b")];
  b.serve("t", async () => {
    throw new PortcullisError("state_invalid", { text: "Again.", data: { a: 1 }, reason: "why" });
  });
  b.serve("odd", async () => {
    throw new TypeError("a secret");
  });
  await expect(a.ask("b", "t", {}, patient)).rejects.toMatchObject({
    code: "state_invalid",
    text: "Again.",
    data: { a: 1 },
    reason: "why",
  });
  const odd: unknown = await a.ask("b", "odd", {}, patient).catch((thrown: unknown) => thrown);
  expect(odd).toMatchObject({ code: "internal" });
  expect(String(odd)).not.toContain("secret");
  await expect(a.ask("b", "unserved", {}, patient)).rejects.toMatchObject({ code: "internal" });
});

test("a dead node is noticed by its silence", async () => {
  newStore();
  const a = await replica("a");
  await expect(a.ask("gone", "t", {}, patient)).rejects.toMatchObject({ code: "store_unavailable" });
});

test("who was held up itself first hears what came meanwhile", async () => {
  newStore();
  const real = store;
  // As over a socket: what has come is only read when the timers that are due have run.
  store = {
    ...real,
    async publish(channel, text) {
      await turn();
      await real.publish(channel, text);
    },
  };
  const [a, b] = [await replica("a"), await replica("b")];
  const serving = event();
  b.serve("t", async () => {
    serving.resolve();
    await delay(BEAT);
    return { answered: true };
  });
  const asked = a.ask("b", "t", {}, patient);
  await serving.promise;
  const later = performance.now() + BEAT * 4;
  while (performance.now() < later);
  expect(await asked).toEqual({ answered: true });
});

test("who gives up asking ends the work for it", async () => {
  newStore();
  const [a, b] = [await replica("a"), await replica("b")];
  let aborted = 0;
  let begun = (): void => {};
  const serving = new Promise<void>((resolve) => {
    begun = resolve;
  });
  b.serve("t", (_, { signal }) => {
    begun();
    return new Promise((_, reject) => {
      signal.addEventListener("abort", () => {
        aborted += 1;
        reject(new PortcullisError("cancelled"));
      });
    });
  });
  const leaving = new AbortController();
  const asked = a.ask("b", "t", {}, { signal: leaving.signal, timeoutMs: 5000 });
  await serving;
  leaving.abort();
  await expect(asked).rejects.toMatchObject({ code: "cancelled" });
  await expect(a.ask("b", "t", {}, { signal: never, timeoutMs: 50 })).rejects.toMatchObject({
    code: "upstream_timeout",
  });
  await turn();
  expect(aborted).toBe(2);
  await expect(a.ask("b", "t", {}, { signal: AbortSignal.abort(), timeoutMs: 5000 })).rejects.toMatchObject({
    code: "cancelled",
  });
});

test("a lost event is noticed: no conversation with a gap is taken for a whole one", async () => {
  newStore();
  const real = store;
  let dropped = 0;
  // The one message lost of those that b sends: its first event.
  store = {
    ...real,
    publish: (channel, text) => {
      if (channel === "replica a" && ++dropped === 2) return Promise.resolve();
      return real.publish(channel, text);
    },
  };
  const [a, b] = [await replica("a"), await replica("b")];
  b.serve("t", async (_, { event }) => {
    event({ n: 0 });
    event({ n: 1 });
    return {};
  });
  const events: JsonObject[] = [];
  const asked = a.ask("b", "t", {}, { ...patient, onEvent: (event) => events.push(event) });
  await expect(asked).rejects.toMatchObject({ code: "store_unavailable" });
  expect(events).toEqual([]);
});

test("another node's reply to a question is not taken for the asked one's, nor can it give the question up", async () => {
  newStore();
  const [a, b, c] = [await replica("a"), await replica("b"), await replica("c")];
  const ids: string[] = [];
  b.onMessage("ask", ({ id }) => ids.push(String(id)));
  b.serve("t", async (_, { signal }) => {
    await delay(50);
    return { by: "b", aborted: signal.aborted };
  });
  const asked = a.ask("b", "t", {}, patient);
  await turn();
  await c.tell("a", "ask reply", { id: ids[0] ?? "", number: 0, reply: { by: "c" } });
  await c.tell("b", "ask abort", { id: ids[0] ?? "" });
  expect(await asked).toEqual({ by: "b", aborted: false });
});

test("a handler that throws harms nobody else", async () => {
  newStore();
  const a = await replica("a");
  a.onMessage("t", () => {
    throw new Error("broken");
  });
  const heard = heardBy(a, "t");
  await a.tell("a", "t", {});
  await turn();
  expect(heard).toHaveLength(1);
});
