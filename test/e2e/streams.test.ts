import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import type { JsonObject } from "../../src/lib/json.ts";
import { type Issuer, startIssuer } from "../identity/issuer.ts";
import { CAPABILITIES, serveAskingLegacy, serveAskingModern } from "./asking.ts";
import {
  callUnread,
  issuerConfig,
  listenRaw,
  META,
  openRaw,
  type RawOptions,
  tokenOf,
} from "./raw-session.ts";
import { ask, openWorld, until, type World, writeIn } from "./world.ts";

const POLICY = `package authz

hidden := {}

grant contains {"reason": "whatever is not hidden", "interaction": ["elicitation"]} if {
	not input.principal.subject in object.get(hidden, input.target.name, [])
}
`;
const IDLE_MS = 2000;

let world: World;
let legacy: Awaited<ReturnType<typeof serveAskingLegacy>>;
let modern: Awaited<ReturnType<typeof serveAskingModern>>;
let issuer: Issuer;

beforeAll(async () => {
  [legacy, modern, issuer] = await Promise.all([serveAskingLegacy(), serveAskingModern(), startIssuer()]);
  world = await openWorld({
    config: {
      issuers: [issuerConfig(issuer)],
      upstreams: { legacy: { url: legacy.url }, modern: { url: modern.url } },
      servers: { legacy: { upstreams: ["legacy"] }, modern: { upstreams: ["modern"] } },
      limits: { session_idle_ms: IDLE_MS },
    },
    policies: POLICY,
  });
});
beforeEach(() => hide({}));
afterAll(async () => {
  await world.close();
  await Promise.all([legacy.close(), modern.close(), issuer.close()]);
});

let current = POLICY;
async function decideBy(policy: string): Promise<void> {
  if (policy === current) return;
  current = policy;
  await writeIn(world.directory, "policies/main.rego", policy);
  await world.gateway.reload();
}

/** Names of targets, and the users from whom they are hidden. */
const hide = (hidden: Readonly<Record<string, readonly string[]>>) =>
  decideBy(POLICY.replace("hidden := {}", `hidden := ${JSON.stringify(hidden)}`));

const deny = (condition: string) => decideBy(`${POLICY}\ndeny contains "not now" if ${condition}\n`);

const tokenFor = (user: string, server: string, seconds?: number) =>
  tokenOf(issuer, world.url(server), user, seconds);
async function open(user = "ann", server = "legacy", options: RawOptions = {}) {
  return openRaw(world.url(server), await tokenFor(user, server), options);
}
const call = (name: string, more: JsonObject = {}): [string, JsonObject] => [
  "tools/call",
  { name, arguments: {}, ...more },
];

test("a list's change is told to whose own list changed, and to nobody else", async () => {
  const [ann, bob] = await Promise.all([open("ann"), open("bob")]);
  const streams = await Promise.all([ann.get(), bob.get()]);
  await Promise.all(streams.map((stream) => stream.next("mark")));
  await hide({ echo: ["ann"] });
  await streams[0]?.next("notifications/tools/list_changed");
  await hide({ echo: ["ann"], "note://a": ["bob"] });
  await streams[1]?.next("notifications/resources/list_changed");
  expect(streams.map((stream) => stream.said())).toEqual([
    ["mark", "notifications/tools/list_changed"],
    ["mark", "notifications/resources/list_changed"],
  ]);
  for (const stream of streams) stream.close();
});

test("a resource's update is told to who may read it at that moment", async () => {
  const ann = await open();
  const stream = await ann.get();
  for (const uri of ["note://a", "note://b"])
    await (await ann.call(uri, "resources/subscribe", { uri })).next;
  await until("the subscriptions", () => legacy.subscribed("note://a") + legacy.subscribed("note://b") === 2);
  await hide({ "note://a": ["ann"] });
  await until("one to end", () => legacy.subscribed("note://a") === 0);
  await legacy.update("note://b");
  expect((await stream.next("notifications/resources/updated")).params).toEqual({ uri: "note://b" });
  await hide({});
  await until("both again", () => legacy.subscribed("note://a") === 1);
  await legacy.update("note://a");
  expect((await stream.next("notifications/resources/updated")).params).toEqual({ uri: "note://a" });
  await ann.call("un", "resources/unsubscribe", { uri: "note://b" });
  await until("the other to end", () => legacy.subscribed("note://b") === 0);
  stream.close();
});

test("log messages come from the wanted level on, to who may hear the server speak of itself", async () => {
  const ann = await open();
  const stream = await ann.get();
  await stream.next("mark");
  await ann.call(1, "logging/setLevel", { level: "warning" });
  await until("an upstream session", () => legacy.sessions.size > 0);
  const token = await tokenFor("ann", "legacy");
  const offered = async () =>
    (await ask(world.url("legacy"), "server/discover", {}, { token })).body.result?.capabilities;
  expect(await offered()).toHaveProperty("logging");
  const toldWhileCalling = async (id: string) => {
    const answer = await ann.call(id, ...call("log"));
    if (answer.text === "") await until("the answer's end", answer.hasEnded);
    return answer.said();
  };
  expect(await toldWhileCalling("a")).toContain("notifications/message");
  await until("an error", async () => {
    await legacy.log("error");
    return stream.said().includes("notifications/message");
  });
  await hide({ legacy: [], "": ["ann"] });
  expect(await offered()).not.toHaveProperty("logging");
  expect(await toldWhileCalling("b")).not.toContain("notifications/message");
  const before = stream.said().length;
  await legacy.log("error");
  await ann.call(2, "ping", {});
  expect(stream.said().length).toBe(before);
  await hide({});
  await until("an error again", async () => {
    await legacy.log("debug");
    await legacy.log("error");
    return stream.said().length > before;
  });
  const levels = stream.events.flatMap(({ message }) =>
    message?.method === "notifications/message" ? [(message.params as JsonObject).level] : [],
  );
  expect(new Set(levels)).toEqual(new Set(["error"]));
  stream.close();
});

test("a session has one stream, the newest; DELETE ends it, and so does the end of the token", async () => {
  const ann = await open();
  const first = await ann.get();
  const second = await ann.get();
  await until("the first to end", first.hasEnded);
  expect(second.hasEnded()).toBe(false);
  expect(await ann.delete()).toBe(204);
  await until("the second to end", second.hasEnded);
  expect((await ann.get()).status).toBe(404);

  const short = await openRaw(world.url("legacy"), await tokenFor("ann", "legacy", 2));
  const stream = await short.get();
  await until("the token's end", stream.hasEnded);
});

test("a stream that is asked for as its session ends does not outlive it", async () => {
  for (const ann of await Promise.all(Array.from({ length: 8 }, () => open()))) {
    const [stream] = await Promise.all([ann.get(), ann.delete()]);
    if (stream.status === 200) await until("the stream to end", stream.hasEnded);
    else expect(stream.status).toBe(404);
  }
});

test("a session with an open stream is not idle, and one without is", async () => {
  const [ann, bob] = await Promise.all([open("ann"), open("bob")]);
  const stream = await ann.get();
  const begun = Date.now();
  await until("more than idle time", () => Date.now() > begun + 1.6 * IDLE_MS);
  expect((await bob.get()).status).toBe(404);
  expect((await ann.call(1, "ping", {})).status).toBe(200);
  stream.close();
});

test("what a standing stream missed is sent when it is resumed, by its own session alone", async () => {
  const [ann, other, third] = await Promise.all([open("ann"), open("ann"), open("ann")]);
  const stream = await ann.get();
  // Streams are told in the order in which they were opened.
  const later = await third.get();
  await Promise.all([stream, later].map((one) => one.next("mark")));
  const mark = stream.events[0]?.id ?? "";
  stream.close();
  for (const hidden of [{ echo: ["ann"] }, {}]) {
    await hide(hidden);
    await later.next("notifications/tools/list_changed");
  }
  const resumed = await ann.get(mark);
  await resumed.next("notifications/tools/list_changed");
  await until("the second", () => resumed.said().length >= 2);
  expect(new Set(resumed.said())).toEqual(new Set(["notifications/tools/list_changed"]));
  const again = await ann.get(resumed.events[0]?.id ?? "");
  await again.next("notifications/tools/list_changed");
  const foreign = await other.get(mark);
  await foreign.next("mark");
  expect(foreign.said()).toEqual(["mark"]);
  await Promise.all([ann, other, third].map((one) => one.delete()));
});

test("a change that its stream was not told of yet is told to whoever resumes it, once", async () => {
  // Each stream is told in its own turn: this one last, so that the client is back before.
  const others = await Promise.all(Array.from({ length: 24 }, () => open("bob")));
  const before = await Promise.all(others.map((other) => other.get()));
  await Promise.all(before.map((one) => one.next("mark")));
  const ann = await open("ann");
  const stream = await ann.get();
  await stream.next("mark");
  await hide({ echo: ["ann"] });
  const resumed = await ann.get(stream.events[0]?.id ?? "");
  await resumed.next("notifications/tools/list_changed");
  await until("the end of the first", stream.hasEnded);
  await hide({ echo: ["ann"], "note://a": ["ann"] });
  await resumed.next("notifications/resources/list_changed");
  expect(resumed.said()).toEqual([
    "notifications/tools/list_changed",
    "notifications/resources/list_changed",
  ]);
  await Promise.all([ann, ...others].map((one) => one.delete()));
});

test("a client of before 2025-11-25 is sent no event without a message", async () => {
  const ann = await open("ann", "legacy", { version: "2025-06-18" });
  const stream = await ann.get();
  await hide({ echo: ["ann"] });
  await stream.next("notifications/tools/list_changed");
  expect(stream.said()).toEqual(["notifications/tools/list_changed"]);
  stream.close();
});

test("a call whose connection breaks goes on, and its answer waits for who comes back", async () => {
  const ann = await open();
  const calls = legacy.state.calls;
  const calling = await ann.call(5, ...call("slow", { _meta: { progressToken: "p" } }));
  await calling.next("notifications/progress");
  const id = calling.events[0]?.id ?? "";
  calling.close();
  const resumed = await ann.get(id);
  expect(resumed.said()).toEqual([]);
  legacy.state.progressed();
  expect(await resumed.next("result")).toMatchObject({ id: 5, result: { content: [{ text: '"slow"' }] } });
  await until("the stream to end", resumed.hasEnded);
  // And once more, after it is over.
  const late = await ann.get(id);
  expect(await late.next("result")).toMatchObject({ id: 5 });
  await until("it to end", late.hasEnded);
  expect(legacy.state.calls).toBe(calls + 1);
});

test("a call that nobody comes back for is cancelled upstream", async () => {
  const ann = await open();
  const cancelled = legacy.state.cancelled;
  const calling = await ann.call(6, ...call("slow", { _meta: { progressToken: "p" } }));
  await calling.next("notifications/progress");
  const standing = await ann.get();
  calling.close();
  const before = Date.now();
  await until("the cancellation", () => legacy.state.cancelled === cancelled + 1);
  expect(Date.now() - before).toBeGreaterThan(5000);
  standing.close();
});

test("a client that stops reading is dropped, and its call cancelled", async () => {
  const token = await tokenFor("ann", "legacy");
  const socket = callUnread(world.url("legacy"), token, "flood", { progressToken: 1 });
  const outcome = await until("the outcome", async () =>
    (await world.outcomes()).find(({ status, bytes }) => status === "cancelled" && bytes < 1000),
  );
  expect(outcome.is_error).toBe(true);
  socket.destroy();
});

test("questions that belong to no call are asked where policy grants their kind", async () => {
  const ann = await open("ann", "legacy", { capabilities: CAPABILITIES });
  const stream = await ann.get();
  await until("an upstream session that listens", () => [...legacy.sessions.values()].length > 0);
  const own = await until("the session's own stream", async () => {
    for (const { server } of legacy.sessions.values())
      if (server.getClientCapabilities()?.elicitation !== undefined) return server;
    return undefined;
  });
  const form = { message: "Well?", requestedSchema: { type: "object" as const, properties: {} } };
  const asked = until("an answer", () => own.elicitInput(form, { timeout: 2000 }).catch(() => undefined));
  const { id } = await stream.next("elicitation/create");
  await ann.tell({ id: id as string, result: { action: "decline" } });
  expect(await asked).toMatchObject({ action: "decline" });
  expect((await world.decisions()).findLast(({ method }) => method === "elicitation/create")).toMatchObject({
    effect: "allow",
    target: { kind: "elicitation", upstream: "legacy" },
  });
  await deny('input.target.kind == "elicitation"');
  await expect(own.elicitInput(form)).rejects.toThrow();
  expect((await world.decisions()).findLast(({ method }) => method === "elicitation/create")).toMatchObject({
    effect: "deny",
    code: "interaction_refused",
  });
  stream.close();
  await ann.delete();
});

// ---------------------------------------------------------------- subscriptions/listen

const ALL_LISTS = { toolsListChanged: true, promptsListChanged: true, resourcesListChanged: true };

test("a modern client that listens is first told what of it is heard, and then that alone, stamped", async () => {
  await hide({ "note://b": ["ann"] });
  const filter = { ...ALL_LISTS, resourceSubscriptions: ["note://a", "note://b"] };
  const stream = await listenRaw(world.url("legacy"), await tokenFor("ann", "legacy"), filter, "mine");
  expect(await stream.next("notifications/subscriptions/acknowledged")).toMatchObject({
    params: {
      notifications: {
        toolsListChanged: true,
        resourcesListChanged: true,
        resourceSubscriptions: ["note://a"],
      },
      _meta: { [`${META}subscriptionId`]: "mine" },
    },
  });
  expect(stream.said()[0]).toBe("notifications/subscriptions/acknowledged");
  expect(JSON.stringify(stream.events[0])).not.toContain("promptsListChanged");
  expect((await world.decisions()).at(-1)).toMatchObject({
    method: "subscriptions/listen",
    arguments: filter,
    reasons: ["not heard: promptsListChanged", "not heard: note://b"],
  });
  await until("the subscription", () => legacy.subscribed("note://a") === 1);
  await legacy.log("error");
  await legacy.update("note://a");
  expect(await stream.next("notifications/resources/updated")).toMatchObject({
    params: { uri: "note://a", _meta: { [`${META}subscriptionId`]: "mine" } },
  });
  await hide({ "note://b": ["ann"], echo: ["ann"] });
  await stream.next("notifications/tools/list_changed");
  expect(stream.said().filter((said) => said === "notifications/message")).toEqual([]);
  stream.close();
  await until("the upstream session to end", () => legacy.subscribed("note://a") === 0);
});

test("it ends with the token, in so many words; what it held upstream goes when the client does", async () => {
  const short = await listenRaw(world.url("modern"), await tokenFor("ann", "modern", 2), {
    toolsListChanged: true,
  });
  expect(await short.next("result")).toMatchObject({ result: { resultType: "complete" } });
  await until("the end", short.hasEnded);
  const sessions = legacy.sessions.size;
  const stream = await listenRaw(world.url("legacy"), await tokenFor("ann", "legacy"), {
    resourceSubscriptions: ["note://a"],
  });
  await until("a session", () => legacy.sessions.size === sessions + 1);
  stream.close();
  await until("its end", () => legacy.sessions.size === sessions);
});

test("one user may listen only so often, and whoever listens is not counted as at work", async () => {
  const token = await tokenFor("bob", "modern");
  const open = await Promise.all(
    Array.from({ length: 33 }, () => listenRaw(world.url("modern"), token, { toolsListChanged: true })),
  );
  expect(open.map(({ status }) => status).sort()).toEqual([...Array(32).fill(200), 503]);
  for (const stream of open) stream.close();
  await until("room again", async () => {
    const stream = await listenRaw(world.url("modern"), token, { toolsListChanged: true });
    stream.close();
    return stream.status === 200;
  });
});

test("roots that changed are told to the upstreams that know the client, and to no others", async () => {
  const ann = await open("ann", "legacy", { capabilities: CAPABILITIES });
  const stranger = await open("ann", "legacy", { capabilities: CAPABILITIES });
  const before = legacy.state.rootsChanged;
  const changed = { method: "notifications/roots/list_changed" };
  expect(await stranger.tell(changed)).toBe(202);
  await ann.call(1, ...call("echo"));
  expect(await ann.tell(changed)).toBe(202);
  await until("the news", () => legacy.state.rootsChanged === before + 1);
});
