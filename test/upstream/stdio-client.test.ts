import { resolve } from "node:path";
import { afterEach, expect, test } from "vitest";
import type { ClientAnswer, ListenRequest, Question, UpstreamRequest } from "../../src/domain.ts";
import type { StdioUpstreamOptions } from "../../src/upstream/stdio.ts";
import { asking, calling, closeAll, event, isRunning, OFFICIAL, stdioUpstream, textOf } from "./servers.ts";

const HELD = [resolve(import.meta.dirname, "held-server.mjs")];
const MODERN = [resolve(import.meta.dirname, "modern-stdio.mjs")];
const ANN = { tenant: "acme", user: "ann", person: "ann" };
const BOB = { tenant: "acme", user: "bob", person: "bob" };
const UPDATED = "notifications/resources/updated";
const clientCapabilities = { sampling: {}, elicitation: {}, roots: {} };
afterEach(closeAll);

function held(isolation: StdioUpstreamOptions["isolation"], more: Partial<StdioUpstreamOptions> = {}) {
  return stdioUpstream(HELD, { isolation, era: "legacy", ...more });
}
type Held = ReturnType<typeof held>;

async function call(upstream: Held, name: string, args = {}, more: Partial<UpstreamRequest> = {}) {
  return JSON.parse(
    (await upstream.request(calling(name, args, { who: ANN, clientCapabilities, ...more }))).text,
  );
}

/** An answer that could not be written again from what it parses to. */
const BIG: ClientAnswer = { kind: "result", text: '{"roots":[],\n "n":12345678901234567890}' };

/** Answers, and notes what it was asked. */
function answering(answer: ClientAnswer = BIG) {
  const asked: Question[] = [];
  const onQuestion = async (question: Question) => {
    asked.push(question);
    return answer;
  };
  return { asked, onQuestion };
}

/** Listens for ann, and notes what it hears. */
function listening(more: Partial<ListenRequest> = {}) {
  const heard: [string, unknown][] = [];
  const abort = new AbortController();
  const request: ListenRequest = {
    sessionKey: "ann",
    who: ANN,
    clientInfo: null,
    clientCapabilities,
    decisionId: "",
    credential: new Map(),
    uris: [],
    signal: abort.signal,
    onNotification: (method, params) => void heard.push([method, JSON.parse(params)]),
    ...more,
  };
  return { heard, request, stop: () => abort.abort() };
}

// ---------------------------------------------------------------- questions

test("a child's question reaches the call in flight, and its answer the child, as they were written", async () => {
  const { asked, onQuestion } = answering();
  const upstream = held("user");
  const { answer } = await call(upstream, "askRaw", {}, { onQuestion });
  expect(asked).toEqual([
    { kind: "elicitation", method: "elicitation/create", params: '{"n":12345678901234567890}' },
  ]);
  expect(answer).toEqual(JSON.parse(BIG.text));
  const refused = answering({ kind: "error", text: '{"code":-1,"message":"no"}' });
  expect((await call(upstream, "ask", {}, refused)).answer).toEqual({ code: -1, message: "no" });
});

test("children that users share are told that nobody can be asked", async () => {
  for (const isolation of ["shared", "tenant"] as const) {
    const { asked, onQuestion } = answering();
    const { answer } = await call(held(isolation), "ask", {}, { onQuestion });
    expect([answer.code, asked]).toEqual([-32601, []]);
  }
});

test("a call that cannot be asked is an error to the child, whoever else listens", async () => {
  const upstream = held("user");
  const { asked, onQuestion } = answering();
  await upstream.listen(listening({ onQuestion }).request);
  expect((await call(upstream, "ask")).answer.code).toBe(-32603);
  const failing = { onQuestion: () => Promise.reject(new Error("s3cret")) };
  const told = await call(upstream, "ask", {}, failing);
  expect(JSON.stringify(told)).not.toContain("s3cret");
  expect(asked).toEqual([]);
});

test("what is asked outside of any call, or beside several, is asked of the one who listens", async () => {
  const upstream = held("user");
  const { asked, onQuestion } = answering();
  const { heard, request } = listening({ onQuestion });
  await upstream.listen(request);
  await call(upstream, "askAfter");
  await expect.poll(() => heard).toEqual([["notifications/tasks/status", { answer: JSON.parse(BIG.text) }]]);
  const abort = new AbortController();
  const beside = call(upstream, "hold", {}, { signal: abort.signal });
  const { answer } = await call(upstream, "ask", {}, answering({ kind: "result", text: '{"wrong":1}' }));
  expect(answer).toEqual(JSON.parse(BIG.text));
  expect(asked).toHaveLength(2);
  abort.abort();
  await expect(beside).rejects.toMatchObject({ code: "cancelled" });
});

test("a call does not time out while its question waits, and does after that", async () => {
  const upstream = held("user");
  await call(upstream, "who");
  const slow = (question: Question) =>
    new Promise<ClientAnswer>((done) =>
      setTimeout(done, 3000, { kind: "result", text: `{"kind":"${question.kind}"}` }),
    );
  const { answer } = await call(upstream, "ask", {}, { timeoutMs: 2000, onQuestion: slow });
  expect(answer).toEqual({ kind: "sampling" });
  await expect(call(upstream, "hold", {}, { timeoutMs: 100 })).rejects.toMatchObject({
    code: "upstream_timeout",
  });
});

test("a question is over with its call, with its child, and when the child withdraws it", async () => {
  const upstream = held("user");
  const waiting = () => {
    const asked = event();
    const over = event();
    const onQuestion = (_: Question, signal: AbortSignal) => {
      asked.resolve();
      signal.addEventListener("abort", over.resolve);
      return new Promise<ClientAnswer>(() => {});
    };
    return { asked: asked.promise, over: over.promise, onQuestion };
  };
  const cancelled = waiting();
  const abort = new AbortController();
  const one = call(upstream, "ask", {}, { onQuestion: cancelled.onQuestion, signal: abort.signal });
  await cancelled.asked;
  abort.abort();
  await cancelled.over;
  await expect(one).rejects.toMatchObject({ code: "cancelled" });

  const withdrawn = waiting();
  const two = call(upstream, "withdraw", {}, { onQuestion: withdrawn.onQuestion });
  await withdrawn.asked;
  await upstream
    .request(calling("withdrawn", {}, { who: ANN, clientCapabilities, timeoutMs: 200 }))
    .catch(() => {});
  await withdrawn.over;
  expect(await two).toMatchObject({ withdrawn: true });

  const crashed = waiting();
  const three = call(upstream, "ask", {}, { onQuestion: crashed.onQuestion });
  await crashed.asked;
  const crash = call(upstream, "crash");
  await crashed.over;
  for (const call of [three, crash])
    await expect(call).rejects.toMatchObject({ code: "upstream_unavailable" });
});

test("a child that asks without end is refused past a number of questions", async () => {
  let asked = 0;
  const onQuestion = () => {
    asked += 1;
    return new Promise<ClientAnswer>(() => {});
  };
  const { answers } = await call(held("user"), "flood", {}, { onQuestion });
  expect([asked, answers]).toEqual([16, 16]);
});

// ---------------------------------------------------------------- what is heard

test("a log message goes to the one call in flight, or to its user's listeners, never to another user", async () => {
  const upstream = held("user");
  const mine = listening();
  const others = listening({ sessionKey: "bob", who: BOB });
  await upstream.listen(mine.request);
  await upstream.listen(others.request);
  await call(upstream, "who", {}, { who: BOB });
  const told: string[] = [];
  await call(upstream, "log", {}, { onNotification: (method) => void told.push(method) });
  expect([told, mine.heard]).toEqual([["notifications/message"], []]);
  const abort = new AbortController();
  const beside = call(upstream, "hold", {}, { signal: abort.signal });
  await call(upstream, "log", {}, { onNotification: (method) => void told.push(method) });
  expect(told).toHaveLength(1);
  expect(mine.heard).toMatchObject([["notifications/message", { level: "info" }]]);
  expect(others.heard).toEqual([]);
  abort.abort();
  await beside.catch(() => {});
});

test("on a child that users share a log message is nobody's", async () => {
  for (const isolation of ["shared", "tenant"] as const) {
    const upstream = held(isolation);
    const { heard, request } = listening();
    await upstream.listen(request);
    const told: string[] = [];
    await call(
      upstream,
      "log",
      {},
      { onNotification: (method) => void told.push(method), logLevel: "debug" },
    );
    expect([told, heard, (await call(upstream, "who")).levels]).toEqual([[], [], []]);
  }
});

test("one user's child says what its user asked for last, and nobody hears less severe messages than wanted", async () => {
  const upstream = held("user");
  const { heard, request } = listening({ logLevel: "error" });
  await upstream.listen(request);
  const told: string[] = [];
  const onNotification = (_: string, params: string) => void told.push(JSON.parse(params).level);
  await call(upstream, "log", { level: "info" }, { logLevel: "warning", onNotification });
  await call(upstream, "log", { level: "alert" }, { logLevel: "warning", onNotification });
  await call(upstream, "log", { level: "info" }, { logLevel: "debug" });
  expect(told).toEqual(["alert"]);
  expect(heard).toEqual([]);
  expect((await call(upstream, "who")).levels).toEqual(["error", "warning", "debug"]);
});

test("every list's change is announced", async () => {
  const upstream = held("shared");
  const seen = new Set<string>();
  const all = event();
  const stop = upstream.onChange((what) => seen.add(what).size === 3 && all.resolve());
  await call(upstream, "lists");
  await all.promise;
  stop();
  expect([...seen].sort()).toEqual(["prompts", "resources", "tools"]);
});

// ---------------------------------------------------------------- resources

test("a shared child is subscribed to once, and tells each owner of what it wanted alone", async () => {
  const upstream = held("shared");
  const ann = listening({ uris: ["a://1", "a://2", "no://where"] });
  const bob = listening({ sessionKey: "bob", who: BOB, uris: ["a://2", "b://1"] });
  const { refused } = await upstream.listen(ann.request);
  expect([...refused]).toEqual([["no://where", '{"code":-32002,"message":"not here"}']]);
  await upstream.listen(bob.request);
  for (const uri of ["a://1", "a://2", "b://1", "c://1"]) await call(upstream, "touch", { uri });
  expect(ann.heard).toEqual(["a://1", "a://2"].map((uri) => [UPDATED, { uri }]));
  expect(bob.heard).toEqual(["a://2", "b://1"].map((uri) => [UPDATED, { uri }]));
  expect((await call(upstream, "who")).subscribed).toEqual(["a://1", "a://2", "b://1"]);
  ann.stop();
  await call(upstream, "touch", { uri: "a://2" });
  expect([ann.heard.length, bob.heard.length]).toEqual([2, 3]);
  expect((await call(upstream, "who")).unsubscribed).toEqual(["a://1"]);
  await upstream.release("bob");
  expect((await call(upstream, "who")).unsubscribed.sort()).toEqual(["a://1", "a://2", "b://1"]);
});

test("an owner that listens anew is heard without a gap, and its old request hears no more", async () => {
  const upstream = held("shared");
  const first = listening({ uris: ["a://1", "a://2"] });
  const second = listening({ uris: ["a://2", "a://3"] });
  await upstream.listen(first.request);
  await upstream.listen(second.request);
  first.stop();
  for (const uri of ["a://1", "a://2", "a://3"]) await call(upstream, "touch", { uri });
  expect(first.heard).toEqual([]);
  expect(second.heard).toEqual(["a://2", "a://3"].map((uri) => [UPDATED, { uri }]));
  const { subscribed, unsubscribed } = await call(upstream, "who");
  expect([subscribed, unsubscribed]).toEqual([["a://1", "a://2", "a://3"], ["a://1"]]);
});

test("who subscribes while another lets go of the same resource is not unsubscribed with it", async () => {
  const upstream = held("shared");
  await call(upstream, "who");
  const first = listening({ uris: ["a://1"] });
  const refusal = upstream.listen(first.request).catch(({ code }) => code);
  await new Promise((sent) => setImmediate(sent));
  first.stop();
  await upstream.listen(listening({ sessionKey: "bob", who: BOB, uris: ["a://1"] }).request);
  expect(await refusal).toBe("cancelled");
  const { watched, subscribed, unsubscribed } = await call(upstream, "who");
  expect([watched, subscribed, unsubscribed]).toEqual([["a://1"], ["a://1", "a://1"], ["a://1"]]);
});

test("what was subscribed to survives a crash, and who waits is told that it may have missed something", async () => {
  const upstream = held("shared", { timeouts: { restart: { firstMs: 10, maxMs: 1000 } } });
  const { heard, request } = listening({ uris: ["a://1"] });
  await upstream.listen(request);
  await call(upstream, "crash").catch(() => {});
  await expect.poll(() => heard).toEqual([[UPDATED, { uri: "a://1" }]]);
  await call(upstream, "touch", { uri: "a://1" });
  expect(heard).toHaveLength(2);
});

test("a child that someone waits to hear of a resource from is not idle", async () => {
  const upstream = held("shared", { timeouts: { idleMs: 50 } });
  const { request, stop } = listening({ uris: ["a://1"] });
  await upstream.listen(request);
  const { pid } = await call(upstream, "who");
  await new Promise((done) => setTimeout(done, 200));
  expect((await call(upstream, "who")).pid).toBe(pid);
  stop();
  await expect.poll(() => isRunning(pid)).toBe(false);
});

test("a listener that waits for no resource starts no child", async () => {
  const upstream = stdioUpstream([], { command: "/nothing/here", isolation: "user" });
  expect((await upstream.listen(listening().request)).refused.size).toBe(0);
  await expect(upstream.listen(listening({ uris: ["a://1"] }).request)).rejects.toMatchObject({
    code: "upstream_unavailable",
  });
});

// ---------------------------------------------------------------- real servers

test("the official everything server asks its client through a child of the user's own", async () => {
  const upstream = stdioUpstream([resolve(OFFICIAL, "server-everything/dist/index.js"), "stdio"], {
    isolation: "user",
  });
  const answer = {
    role: "assistant",
    model: "none",
    content: { type: "text", text: "sampled by ann" },
  };
  const { asked, onQuestion } = answering({ kind: "result", text: JSON.stringify(answer) });
  const caps = { sampling: {} };
  const request = { who: ANN, clientCapabilities: caps, onQuestion };
  await expect
    .poll(async () => (await upstream.request(asking("tools/list", {}, request))).text)
    .toContain("trigger-sampling-request");
  const sampled = await upstream.request(calling("trigger-sampling-request", { prompt: "hello" }, request));
  expect(textOf(sampled)).toContain("sampled by ann");
  expect(asked).toMatchObject([{ kind: "sampling" }]);
  const others = { who: BOB, clientCapabilities: null };
  expect((await upstream.request(asking("tools/list", {}, others))).text).not.toContain("trigger-sampling");
});

test("a modern server over stdio is listened to by URI, and told the client's capabilities and log level", async () => {
  const upstream = stdioUpstream(MODERN, { isolation: "user" });
  const { heard, request } = listening({ uris: ["note://1"] });
  expect((await upstream.listen(request)).refused.size).toBe(0);
  const touch = (uri: string) => call(upstream, "touch", { uri });
  await touch("note://2");
  await touch("note://1");
  await expect.poll(() => heard).toEqual([[UPDATED, { uri: "note://1" }]]);
  const clientInfo = { name: "ann's", version: "2" };
  const asked = await upstream.request(
    calling("meta", {}, { who: ANN, clientCapabilities, clientInfo, logLevel: "warning" }),
  );
  expect(JSON.parse(textOf(asked))).toMatchObject({
    "io.modelcontextprotocol/clientInfo": clientInfo,
    "io.modelcontextprotocol/clientCapabilities": clientCapabilities,
    "io.modelcontextprotocol/logLevel": "warning",
  });
});

test("a modern server that honours no subscription refuses each URI", async () => {
  const upstream = stdioUpstream(MODERN, { isolation: "user", env: { PATH: "", NO_SUBSCRIBE: "1" } });
  const { refused } = await upstream.listen(listening({ uris: ["note://1", "note://2"] }).request);
  expect([...refused.keys()]).toEqual(["note://1", "note://2"]);
});
