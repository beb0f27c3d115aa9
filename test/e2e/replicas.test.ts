import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import type { JsonObject } from "../../src/lib/json.ts";
import { ANSWERS, ASKED_CLIENTS, CAPABILITIES, serveAskingLegacy, serveAskingModern } from "./asking.ts";
import { type Fleet, startFleet, untilReady } from "./fleet.ts";
import { META, openRaw, type RawSession, type Stream } from "./raw-session.ts";
import { callTool, until } from "./world.ts";

const POLICY = `package authz

grant contains {"reason": "anyone", "interaction": ["sampling", "elicitation", "roots"]} if {
	not input.target.kind in {"sampling", "elicitation", "roots"}
}
`;

let fleet: Fleet;
let legacy: Awaited<ReturnType<typeof serveAskingLegacy>>;
let modern: Awaited<ReturnType<typeof serveAskingModern>>;
const streams: Stream[] = [];

beforeAll(async () => {
  [legacy, modern] = await Promise.all([serveAskingLegacy(), serveAskingModern()]);
  fleet = await startFleet(
    {
      upstreams: { legacy: { url: legacy.url }, modern: { url: modern.url } },
      servers: { legacy: { upstreams: ["legacy"] }, modern: { upstreams: ["modern"] } },
    },
    POLICY,
  );
});
afterEach(() => {
  fleet.proxy.to = undefined;
  for (const stream of streams.splice(0)) stream.close();
});
afterAll(async () => {
  await fleet.close();
  await Promise.all([legacy.close(), modern.close()]);
});

/** Does it through one replica. */
async function at<T>(replica: number, what: () => Promise<T>): Promise<T> {
  fleet.proxy.to = replica;
  try {
    return await what();
  } finally {
    fleet.proxy.to = undefined;
  }
}
async function streamAt(replica: number, what: () => Promise<Stream>): Promise<Stream> {
  const stream = await at(replica, what);
  streams.push(stream);
  return stream;
}
async function session(replica: number, user = "ann", server = "legacy"): Promise<RawSession> {
  const token = await fleet.token(user, server);
  return at(replica, () => openRaw(fleet.url(server), token, { capabilities: CAPABILITIES }));
}
const named = (name: string): [string, JsonObject] => [
  "tools/call",
  { name, arguments: {}, _meta: { progressToken: 1 } },
];

const CELLS = ASKED_CLIENTS.flatMap(([client, connect]) =>
  (["legacy", "modern"] as const).map((upstream) => [client, upstream, connect] as const),
);

test.each(CELLS)(
  "a %s client's session before a %s server goes through every replica in turn",
  async (_, server, connect) => {
    const before = [...fleet.proxy.counts];
    const client = await connect(fleet.url(server), await fleet.token("ann", server));
    const told = async (tool: string) => JSON.stringify(await client.call(tool));
    for (let round = 0; round < 3; round += 1) {
      const { tools } = await (client.client as { listTools(): Promise<{ tools: unknown[] }> }).listTools();
      expect(tools.length).toBeGreaterThan(4);
      expect(await told("echo")).toContain("echo");
      expect(await told("elicit")).toContain("ann");
      expect(await told("sample")).toContain("hello");
      expect(await told("roots")).toContain("file:///ann");
      if (server === "legacy")
        expect(await client.call("twice")).toMatchObject([ANSWERS.elicitation, ANSWERS.sampling]);
    }
    await client.close();
    for (const [replica, count] of fleet.proxy.counts.entries())
      expect(count - (before[replica] ?? 0)).toBeGreaterThan(5);
  },
);

test.each([
  [0, 1],
  [1, 0],
])(
  "a question of a call at replica %d is answered through %d, by its own client alone",
  async (one, other) => {
    const ann = await session(one);
    const dee = await session(other, "dee");
    const calling = await streamAt(one, () => ann.call(1, ...named("elicit")));
    const { id } = await calling.next("elicitation/create");
    const answer = (name: string) => ({ id: id as string, result: { action: "accept", content: { name } } });
    expect(await at(other, () => dee.tell(answer("mallory")))).toBe(202);
    expect(await at(other, () => ann.tell(answer("ann")))).toBe(202);
    expect(JSON.stringify(await calling.next("result"))).toContain("ann");
    expect(JSON.stringify(calling.events)).not.toContain("mallory");
  },
);

async function rawModern(replica: number, name: string, more: JsonObject = {}, signal?: AbortSignal) {
  const token = await fleet.token("ann", "legacy");
  const _meta = { [`${META}clientCapabilities`]: CAPABILITIES, progressToken: "mine" };
  return at(replica, () =>
    callTool(fleet.url("legacy"), name, {}, { token, ...(signal && { signal }) }, { _meta, ...more }),
  );
}
interface Required {
  readonly inputRequests: JsonObject;
  readonly requestState: string;
}
const retryOf = ({ inputRequests, requestState }: Required): JsonObject => ({
  requestState,
  inputResponses: Object.fromEntries(Object.keys(inputRequests).map((key) => [key, ANSWERS.elicitation])),
});

test("a held call goes on through the other replica, which cancels it when its client goes away", async () => {
  const calls = legacy.state.calls;
  const asked = (await rawModern(0, "twice")).body.result as unknown as Required;
  const again = (await rawModern(1, "twice", retryOf(asked))).body.result as unknown as Required;
  expect(again.inputRequests).toMatchObject({ "question-2": { method: "sampling/createMessage" } });
  const answered = { requestState: again.requestState, inputResponses: { "question-2": ANSWERS.sampling } };
  const { body } = await rawModern(1, "twice", answered);
  expect(JSON.stringify(body.result)).toContain("hello");
  expect(legacy.state.calls).toBe(calls + 1);
  expect((await rawModern(1, "twice", answered)).body.error?.data.code).toBe("state_invalid");

  const cancelled = legacy.state.cancelled;
  const left = (await rawModern(0, "slowly")).body.result as unknown as Required;
  const stop = new AbortController();
  const waiting = rawModern(1, "slowly", retryOf(left), stop.signal);
  await until("it to go on", () => legacy.state.waiting > 0);
  stop.abort();
  await expect(waiting).rejects.toThrow();
  await until("the cancellation", () => legacy.state.cancelled > cancelled);
});

test("one stream a session, wherever: it hears at one replica what is asked for and happens at the other", async () => {
  const ann = await session(0);
  const first = await streamAt(0, () => ann.get());
  await first.next("mark");
  const second = await streamAt(1, () => ann.get());
  await second.next("mark");
  await until("the first to end", first.hasEnded);
  await at(0, () => ann.call(1, "resources/subscribe", { uri: "note://a" }));
  await until("the subscription", async () => {
    await legacy.update("note://a");
    return second.said().includes("notifications/resources/updated");
  });
  expect(await at(0, async () => (await ann.call(2, ...named("echo"))).status)).toBe(200);
  expect(second.hasEnded()).toBe(false);
});

test("what is asked beside a call at one replica, on a stream that the other holds, is the call's question", async () => {
  const ann = await session(1);
  const standing = await streamAt(1, () => ann.get());
  await standing.next("mark");
  await at(1, () => ann.call(1, ...named("echo")));
  for (const replica of [0, 1, 0]) {
    const stream = await streamAt(replica, () => ann.call(`aside ${replica}`, ...named("aside")));
    const { id } = await stream.next("elicitation/create");
    await at(1 - replica, () => ann.tell({ id: id as string, result: { ...ANSWERS.elicitation } }));
    expect(JSON.stringify(await stream.next("result"))).toContain("ann");
  }
  expect(standing.said()).toEqual(["mark"]);
});

test("a call is cancelled, and a session ended, through the other replica", async () => {
  const ann = await session(0);
  const cancelled = legacy.state.cancelled;
  const calling = await streamAt(0, () => ann.call("x", ...named("slow")));
  await calling.next("notifications/progress");
  await at(1, () => ann.tell({ method: "notifications/cancelled", params: { requestId: "x" } }));
  await until("the cancellation", () => legacy.state.cancelled === cancelled + 1);
  const stream = await streamAt(0, () => ann.get());
  expect(await at(1, () => ann.delete())).toBe(204);
  await until("the stream's end", stream.hasEnded);
  expect((await at(0, () => ann.call(1, "ping", {}))).status).toBe(404);
});

test("a call whose cancellation came first, through the other replica, does not begin upstream", async () => {
  const ann = await session(0);
  const calls = legacy.state.calls;
  expect(
    await at(1, () => ann.tell({ method: "notifications/cancelled", params: { requestId: "early" } })),
  ).toBe(202);
  const calling = await at(0, () => ann.call("early", ...named("slow")).catch(() => undefined));
  if (calling !== undefined) {
    streams.push(calling);
    await until("the end", () => calling.text !== "" || calling.hasEnded());
    expect(calling.said()).not.toContain("result");
  }
  expect(legacy.state.calls).toBe(calls);
});

test("what broke at one replica is resumed at the other", async () => {
  const ann = await session(0);
  const calls = legacy.state.calls;
  const calling = await at(0, () => ann.call("y", ...named("slow")));
  await calling.next("notifications/progress");
  const id = calling.events[0]?.id ?? "";
  calling.close();
  const resumed = await streamAt(1, () => ann.get(id));
  legacy.state.progressed();
  expect(await resumed.next("result")).toMatchObject({ id: "y", result: { content: [{ text: '"slow"' }] } });
  await until("the end", resumed.hasEnded);
  expect(legacy.state.calls).toBe(calls + 1);
});

test("a replica that is killed takes its calls with it, plainly; sessions go on at the other", async () => {
  const ann = await session(0);
  const held = (await rawModern(0, "elicit")).body.result as unknown as Required;
  const calling = await at(0, () => ann.call("z", ...named("slow")));
  await calling.next("notifications/progress");
  const id = calling.events[0]?.id ?? "";
  await fleet.replicas[0]?.kill();
  await until("the break", calling.hasEnded);
  expect((await at(1, () => ann.call(1, ...named("echo")))).status).toBe(200);
  expect((await rawModern(1, "elicit", retryOf(held))).body.error?.data.code).toBe("state_invalid");
  const resumed = await streamAt(1, () => ann.get(id));
  expect(await until("the refusal", () => resumed.next("error").catch(() => undefined))).toMatchObject({
    id: "z",
    error: { data: { code: "cancelled" } },
  });
  await until("the end", resumed.hasEnded);
  const stream = await streamAt(1, () => ann.get());
  await stream.next("mark");
  await fleet.replicas[0]?.start();
  expect((await at(0, () => ann.call(2, ...named("echo")))).status).toBe(200);
});

test("without the store sessions are refused with 503 and readiness says why; with it all serve again", async () => {
  const ann = await session(0);
  const token = await fleet.token("ann", "modern");
  await fleet.valkey.stop();
  for (const replica of fleet.replicas)
    expect((await untilReady(replica, 503)).reasons).toEqual(["the session store does not answer"]);
  const refused = await at(1, () => ann.call(1, ...named("echo")));
  expect([refused.status, JSON.parse(refused.text).error.data.code]).toEqual([503, "store_unavailable"]);
  const open = openRaw(fleet.url("legacy"), await fleet.token("ann", "legacy"));
  await expect(open).rejects.toThrow("store_unavailable");
  // What needs no session is served.
  const modernly = await callTool(fleet.url("modern"), "echo", {}, { token });
  expect(modernly.body.result).toMatchObject({ content: [{ text: '"echo"' }] });
  await fleet.valkey.start();
  for (const replica of fleet.replicas) await untilReady(replica, 200);
  // The store of this test keeps nothing: the session is gone, and said to be.
  expect((await at(0, () => ann.call(2, ...named("echo")))).status).toBe(404);
  const again = await session(1);
  const calling = await streamAt(0, () => again.call(1, ...named("elicit")));
  const { id: question } = await calling.next("elicitation/create");
  await at(1, () => again.tell({ id: question as string, result: { ...ANSWERS.elicitation } }));
  expect(JSON.stringify(await calling.next("result"))).toContain("ann");
});
