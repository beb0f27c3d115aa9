import { randomBytes } from "node:crypto";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { Exchange } from "../../src/domain.ts";
import { createChanges } from "../../src/gate/changes.ts";
import { converse } from "../../src/gate/conversation.ts";
import { createElicitations } from "../../src/gate/elicitations.ts";
import { createHeld, MOST_HELD } from "../../src/gate/held.ts";
import { createLoad } from "../../src/gate/load.ts";
import { createOutboxes, LINGER_MS } from "../../src/gate/outbox.ts";
import { createQuestions } from "../../src/gate/questions.ts";
import { createStreams } from "../../src/gate/streams.ts";
import { createTasks, makerOf } from "../../src/gate/task-store.ts";
import { STATE_MS } from "../../src/gate/turn.ts";
import { Cancellation } from "../../src/lib/cancellation.ts";
import { PortcullisError } from "../../src/lib/errors.ts";
import { randomId } from "../../src/lib/ids.ts";
import { silentLog } from "../../src/lib/log.ts";
import { createSeal } from "../../src/lib/seal.ts";
import { createEventStore } from "../../src/protocol/events.ts";
import { createReplicas } from "../../src/protocol/replicas.ts";
import { createMemoryStore } from "../../src/store/memory.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const clock = () => Date.now();

async function aReplica() {
  const store = createMemoryStore({ clock });
  const seal = createSeal(randomBytes(32));
  const replicas = await createReplicas({ store, seal, node: "one", newId: randomId, clock, log: silentLog });
  return { store, seal, replicas };
}

const QUESTION = { kind: "elicitation", method: "elicitation/create", params: "{}" } as const;
const never = () => new AbortController().signal;
const listener = () => ({ notify() {}, signal: new AbortController().signal });

/** A call that asks once. */
function asking() {
  const over = vi.fn();
  const conversation = converse(async (signal, { ask }) => {
    signal.addEventListener("abort", over);
    const answer = await ask(QUESTION, signal);
    return { kind: "answer", answer: { kind: "result", text: answer.text, isError: false, era: "legacy" } };
  });
  return { conversation, over };
}

const ownedBy = (user: string, tenant = "acme", ...run: string[]) =>
  JSON.stringify(["https://idp.example", user, tenant, ...run]);

test("a call that nobody comes back to is abandoned when its state has expired, and not before", async () => {
  const { replicas } = await aReplica();
  const held = createHeld(replicas, (max) => max, clock);
  const { conversation, over } = asking();
  expect(await conversation.next(listener())).toMatchObject({ kind: "questions" });
  held.keep("call", ownedBy("ann"), conversation);
  await vi.advanceTimersByTimeAsync(STATE_MS - 20_000);
  expect([held.size, over.mock.calls.length]).toEqual([1, 0]);
  await vi.advanceTimersByTimeAsync(30_000);
  expect([held.size, over.mock.calls.length]).toEqual([0, 1]);
  const late = await held.resume({ node: "one", call: "call", responses: {} }, listener());
  expect(late).toMatchObject({ kind: "failure", error: { code: "state_invalid" } });
  held.close();
});

test("held calls end with their owner's run, and with the gateway", async () => {
  const { replicas } = await aReplica();
  const held = createHeld(replicas, (max) => max, clock);
  const calls = ["ann", "bob"].map((user) => ({ owner: ownedBy(user), ...asking() }));
  for (const { owner, conversation } of calls) held.keep(owner, owner, conversation);
  held.drop((owner) => owner === ownedBy("ann"));
  expect(calls.map(({ over }) => over.mock.calls.length)).toEqual([1, 0]);
  held.close();
  expect(calls.map(({ over }) => over.mock.calls.length)).toEqual([1, 1]);
});

test("a page that is done is told to the session that waits for it, once, and to no other", async () => {
  const { store, replicas } = await aReplica();
  const elicitations = createElicitations(store, replicas);
  const told: string[][] = [];
  for (const session of ["ann's", "bob's"])
    elicitations.onComplete(session, (id) => void told.push([session, id]));
  const data = { elicitations: [{ elicitationId: "page" }] };
  await elicitations.waits("ann's", ownedBy("ann"), new PortcullisError("account_required", { data }));
  for (let at = 0; at < 2; at += 1) await elicitations.complete("page");
  await vi.advanceTimersByTimeAsync(100);
  expect(told).toEqual([["ann's", "page"]]);
});

test("of a user's pages the newest hundred are waited for, and another's stay", async () => {
  const { store, replicas } = await aReplica();
  const elicitations = createElicitations(store, replicas);
  const told: string[] = [];
  elicitations.onComplete("s", (id) => void told.push(id));
  const wait = (elicitationId: string, owner: string) => {
    const data = { elicitations: [{ elicitationId }] };
    return elicitations.waits("s", owner, new PortcullisError("account_required", { data }));
  };
  await wait("bob's", ownedBy("bob"));
  for (let page = 0; page < 150; page += 1) await wait(`${page}`, ownedBy("ann", "acme", `run ${page}`));
  for (const page of ["bob's", "0", "49", "50", "149"]) await elicitations.complete(page);
  await vi.advanceTimersByTimeAsync(100);
  expect(told).toEqual(["bob's", "50", "149"]);
});

test("runs hold no more than their user, and a tenant no more than its share", async () => {
  const { replicas } = await aReplica();
  const held = createHeld(replicas, (max) => max / 50, clock);
  const keep = (owner: string, id = `${owner} ${held.size}`) => {
    const { conversation, over } = asking();
    held.keep(id, owner, conversation);
    return over;
  };
  const [first] = Array.from({ length: 17 }, (_, run) => keep(ownedBy("ann", "acme", `run ${run}`)));
  expect([held.size, first?.mock.calls.length]).toEqual([16, 1]);
  for (const user of ["bob", "cho", "dan", "eve"]) keep(ownedBy(user));
  expect(() => keep(ownedBy("fay"))).toThrow(expect.objectContaining({ code: "overloaded" }));
  keep(ownedBy("fay", "globex"));
  expect(held.size).toBe(21);
  held.close();

  const streams = createStreams(replicas, 100, (max) => max / 2);
  const listen = (owner: string) => streams.listen(owner, () => {});
  for (let run = 0; run < 32; run += 1) listen(ownedBy("ann", "acme", `run ${run}`));
  const full = expect.objectContaining({ code: "overloaded" });
  expect(() => listen(ownedBy("ann"))).toThrow(full);
  for (let user = 0; user < 18; user += 1) listen(ownedBy(`user ${user}`));
  expect(() => listen(ownedBy("bob"))).toThrow(full);
  listen(ownedBy("bob", "globex"))();
  streams.close();
});

test("a call that its client listens to keeps its place: it asks again in no room but its own", async () => {
  const { replicas } = await aReplica();
  const held = createHeld(replicas, (max) => max, clock);
  const calls = Array.from({ length: 16 }, () => {
    let askAgain = () => {};
    const conversation = converse(async (signal, { ask }) => {
      await ask(QUESTION, signal);
      await new Promise<void>((go) => {
        askAgain = go;
      });
      await ask(QUESTION, signal);
      throw new Error("answered");
    });
    return { conversation, askAgain: () => askAgain() };
  });
  for (const [at, { conversation }] of calls.entries()) {
    await conversation.next(listener());
    held.keep(`${at}`, ownedBy("ann"), conversation);
  }
  const answer = { "question-1": {} };
  const resume = (call: number) =>
    held.resume({ node: "one", call: `${call}`, responses: answer }, listener());
  const turns = calls.map((_, at) => resume(at));
  // One request at a time: nobody takes another's place.
  expect(await resume(0)).toMatchObject({ kind: "failure", error: { code: "state_invalid" } });
  expect(() => held.keep("more", ownedBy("ann"), asking().conversation)).toThrow(
    expect.objectContaining({ code: "overloaded" }),
  );
  for (const { askAgain } of calls) askAgain();
  for (const turn of await Promise.all(turns)) expect(turn).toMatchObject({ kind: "questions" });
  expect(held.size).toBe(16);
  held.keep("more", ownedBy("ann"), asking().conversation);
  expect(held.size).toBe(16);
  held.close();
});

test("all together hold no more than there is room for, though each has a share left", async () => {
  const { replicas } = await aReplica();
  const full = expect.objectContaining({ code: "overloaded" });
  const more = (max: number) => max + 1;

  const held = createHeld(replicas, more, clock);
  const keep = (at: number) => held.keep(`call ${at}`, ownedBy(`user ${at}`), asking().conversation);
  for (let at = 0; at < MOST_HELD; at += 1) keep(at);
  expect(() => keep(MOST_HELD)).toThrow(full);
  held.close();

  const streams = createStreams(replicas, 2, more);
  const [first] = [1, 2].map((user) => streams.listen(ownedBy(`user ${user}`), () => {}));
  expect(() => streams.listen(ownedBy("ann"), () => {})).toThrow(full);
  first?.();
  streams.listen(ownedBy("ann"), () => {});
  streams.close();

  const load = createLoad({ inFlight: 2, perTenant: 9, perUser: 9 });
  const slots = [1, 2, 3].map(() => ({ isIn: false, who: null }));
  expect(() => slots.map(load.enter)).toThrow(full);
  for (const slot of slots.slice(1)) load.leave(slot);
  load.enter({ isIn: false, who: null });
});

test("runs follow no more tasks than their user may", async () => {
  const { store, seal } = await aReplica();
  const tasks = createTasks(store, seal, (max) => max, clock);
  const entry = {
    era: "legacy",
    upstream: "crm",
    tool: "export",
    arguments: {},
    sessionKey: "session",
  } as const;
  const keep = (id: number, owner: string) => tasks.keep(makerOf(owner, "main"), `task ${id}`, entry);
  for (let id = 0; id < 1000; id += 1) await keep(id, ownedBy("ann", "acme", `run ${id % 7}`));
  await expect(keep(1000, ownedBy("ann"))).rejects.toMatchObject({ code: "overloaded" });
  await keep(0, ownedBy("ann", "acme", "run 0"));
  await keep(1000, ownedBy("bob"));
});

test("a task takes room by its arguments, of its user's and of its tenant's share", async () => {
  const { store, seal } = await aReplica();
  const tasks = createTasks(store, seal, () => 200, clock);
  const entry = { era: "legacy", upstream: "crm", tool: "export", sessionKey: "session" } as const;
  const keep = (id: number, owner: string, length: number) =>
    tasks.keep(makerOf(owner, "main"), `task ${id}`, { ...entry, arguments: { text: "x".repeat(length) } });
  const full = { code: "overloaded" };
  for (let id = 0; id < 2; id += 1) await keep(id, ownedBy("ann"), 1 << 20);
  await expect(keep(2, ownedBy("bob"), 1 << 20)).rejects.toMatchObject(full);
  // Nothing of what was refused is counted; what was kept small may not grow past it either.
  for (let id = 3; id < 18; id += 1) await keep(id, ownedBy("bob"), 10);
  await expect(keep(3, ownedBy("bob"), 1 << 20)).rejects.toMatchObject(full);
  await keep(2, ownedBy("bob", "globex"), 1 << 20);
  const roomy = createTasks(createMemoryStore({ clock }), seal, (max) => max, clock);
  const large = { ...entry, arguments: { text: "x".repeat(1 << 20) } };
  for (let id = 0; id < 11; id += 1) await roomy.keep(makerOf(ownedBy("ann"), "main"), `${id}`, large);
  await expect(roomy.keep(makerOf(ownedBy("ann"), "main"), "more", large)).rejects.toMatchObject(full);
});

test("questions wait for their answer or their end, and nothing of them is left", async () => {
  const { replicas } = await aReplica();
  const questions = createQuestions(replicas, randomId);
  const asked: string[] = [];
  const said: string[] = [];
  const to = {
    request: (id: string) => void asked.push(id),
    notify: (method: string) => void said.push(method),
  };
  const answered = questions.ask("s", QUESTION, to, never());
  expect(await questions.answer("other", asked[0] ?? "", { kind: "result", text: "{}" })).toBe(false);
  expect(await questions.answer("s", asked[0] ?? "", { kind: "result", text: "{}" })).toBe(true);
  expect(await answered).toEqual({ kind: "result", text: "{}" });
  expect(await questions.answer("s", asked[0] ?? "", { kind: "result", text: "{}" })).toBe(false);
  const stop = new AbortController();
  const stopped = questions.ask("s", QUESTION, to, stop.signal);
  stop.abort();
  await expect(stopped).rejects.toMatchObject({ code: "cancelled" });
  expect(said).toEqual(["notifications/cancelled"]);
  const many = Array.from({ length: 16 }, () => questions.ask("s", QUESTION, to, never()).catch(() => {}));
  await expect(questions.ask("s", QUESTION, to, never())).rejects.toMatchObject({ code: "overloaded" });
  expect(many.length).toBe(16);
});

async function aStream() {
  const { store, seal, replicas } = await aReplica();
  const events = createEventStore({ store, seal, clock, idleMs: 60_000 });
  const outboxes = createOutboxes(events, replicas, randomId);
  let gone = () => {};
  const cancel = vi.fn();
  const outlive: Exchange["outlive"] = (told) => {
    gone = told;
  };
  const exchange = { cancel, outlive, signal: new Cancellation() } as Partial<Exchange> as Exchange;
  const outbox = outboxes.open("s", 1, exchange);
  const id = (await outbox.remember('{"method":"x"}')) ?? "";
  return { outboxes, outbox, cancel, gone: () => gone(), stream: id.slice(0, id.lastIndexOf(".")) };
}

test("a call whose client has gone is cancelled after the grace, unless it is followed by its own session", async () => {
  const { outboxes, cancel, gone, stream } = await aStream();
  gone();
  await vi.advanceTimersByTimeAsync(LINGER_MS / 2);
  const stop = new AbortController();
  const following = outboxes.follow({ session: "s", stream }, () => {}, stop.signal);
  await vi.advanceTimersByTimeAsync(3 * LINGER_MS);
  expect(cancel).not.toHaveBeenCalled();
  stop.abort();
  await following;
  // Another session's following is none.
  await outboxes.follow({ session: "other", stream }, () => {}, never());
  await vi.advanceTimersByTimeAsync(LINGER_MS + 1);
  expect(cancel).toHaveBeenCalledOnce();
});

test("who follows before the loss is noticed keeps the call as well; when it is done nothing is left", async () => {
  const { outboxes, outbox, cancel, gone, stream } = await aStream();
  const news = vi.fn();
  const following = outboxes.follow({ session: "s", stream }, news, never());
  await vi.advanceTimersByTimeAsync(0);
  gone();
  await vi.advanceTimersByTimeAsync(3 * LINGER_MS);
  await outbox.remember('{"id":1,"result":{}}');
  expect([cancel.mock.calls.length, news.mock.calls.length, outboxes.size]).toEqual([0, 1, 1]);
  outbox.done();
  await following;
  expect([outboxes.size, vi.getTimerCount() > 100]).toEqual([0, false]);
});

test("a change is told to each listener once, one at a time, and to none that has left", async () => {
  vi.useRealTimers();
  let policies = () => {};
  let catalog = (_: string) => {};
  const onChange = createChanges({
    catalog: {
      onChange(told) {
        catalog = told;
        return () => {};
      },
    },
    policies: {
      onChange(told) {
        policies = told as () => void;
        return () => {};
      },
    },
    log: silentLog,
  });
  const told: string[] = [];
  onChange("a", () => {
    told.push("broken");
    throw new Error("broken");
  });
  onChange("a", () => void told.push("a"));
  const stop = onChange("b", () => void told.push("b"));
  onChange("b", () => {
    told.push("last");
    stop();
  });
  policies();
  policies();
  catalog("a");
  expect(told).toEqual([]);
  await vi.waitFor(() => expect(told).toEqual(["broken", "a", "b", "last"]));
  catalog("b");
  await vi.waitFor(() => expect(told).toEqual(["broken", "a", "b", "last", "last"]));
});
