import type { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { ElicitRequestSchema } from "@modelcontextprotocol/sdk/types.js";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import type { JsonObject } from "../../src/lib/json.ts";
import {
  ALL,
  ANSWERS,
  ASKED_CLIENTS,
  type AskedClient,
  askedModern,
  askedV1,
  CAPABILITIES,
  serveAskingLegacy,
  serveAskingModern,
} from "./asking.ts";
import { ask, callTool, openWorld, until, type World, writeIn } from "./world.ts";

/** ann may be asked everything, bob nothing, dee (of another tenant) everything. */
const POLICY = `package authz

grant contains {"reason": "may be asked", "interaction": ["sampling", "elicitation", "roots"]} if {
	"support" in input.principal.roles
}

grant contains {"reason": "may not be asked"} if not "support" in input.principal.roles

deny contains "hidden from all" if input.target.name == "note://hidden"
`;
const META = "io.modelcontextprotocol/";

let world: World;
let legacy: Awaited<ReturnType<typeof serveAskingLegacy>>;
let modern: Awaited<ReturnType<typeof serveAskingModern>>;
const open: AskedClient[] = [];

beforeAll(async () => {
  [legacy, modern] = await Promise.all([serveAskingLegacy(), serveAskingModern()]);
  world = await openWorld({
    config: {
      upstreams: { legacy: { url: legacy.url }, modern: { url: modern.url } },
      servers: {
        legacy: { upstreams: ["legacy"] },
        modern: { upstreams: ["modern"] },
        other: { upstreams: ["legacy"] },
      },
    },
    policies: POLICY,
  });
});
afterEach(async () => {
  for (const client of open.splice(0)) await client.close();
});
afterAll(async () => {
  await world.close();
  await Promise.all([legacy.close(), modern.close()]);
});

async function connected(
  connect: (typeof ASKED_CLIENTS)[number][1],
  server: string,
  user = "ann",
  can = ALL,
): Promise<AskedClient> {
  const client = await connect(world.url(server), await world.token(user, server), { can });
  open.push(client);
  return client;
}

const CELLS = ASKED_CLIENTS.flatMap(([client, connect]) =>
  (["legacy", "modern"] as const).map((upstream) => [client, upstream, connect] as const),
);
const QUESTIONS = [
  ["elicit", "elicitation form", "elicitation"],
  ["url", "elicitation url", "elicitation"],
  ["sample", "sampling", "sampling"],
  ["roots", "roots", "roots"],
] as const;

/** What the tool says it was told: a legacy one by itself, a modern one in a list, with its state. */
function told(upstream: string, said: unknown): unknown {
  return upstream === "legacy" ? said : (said as [unknown[], string])[0][0];
}

test.each(CELLS)(
  "a %s client answers what a %s server asks, where its grant lets it ask",
  async (_, upstream, connect) => {
    const client = await connected(connect, upstream);
    for (const [tool, asked, kind] of QUESTIONS) {
      expect(told(upstream, await client.call(tool))).toMatchObject(ANSWERS[kind]);
      expect(client.asked.at(-1)).toBe(asked);
    }
    const both = await client.call("both");
    const answers = upstream === "legacy" ? both : (both as [unknown])[0];
    expect(answers).toMatchObject([ANSWERS.elicitation, ANSWERS.roots]);
  },
);

test.each(CELLS)(
  "a %s client is not asked by a %s server without the grant's interaction; the server is told, and a record says so",
  async (_, upstream, connect) => {
    const client = await connected(connect, upstream, "bob");
    const failures = legacy.state.failures.length;
    await expect(client.call("elicit")).rejects.toThrow();
    expect(client.asked).toEqual([]);
    if (upstream === "legacy") expect(legacy.state.failures.length).toBe(failures + 1);
    const decisions = await world.decisions();
    const refused = decisions.at(-1);
    expect(refused).toMatchObject({
      method: "elicitation/create",
      effect: "deny",
      code: "interaction_refused",
      target: { upstream, kind: "elicitation", name: "" },
      principal: { subject: "bob" },
    });
    const call = decisions.find(({ id }) => id === refused?.within);
    expect(call).toMatchObject({ method: "tools/call", effect: "allow", target: { name: "elicit" } });
  },
);

test.each(CELLS)(
  "a %s client is not asked by a %s server what it did not declare",
  async (_, upstream, connect) => {
    const client = await connected(connect, upstream, "ann", ["roots"]);
    await expect(client.call("elicit")).rejects.toThrow();
    await expect(client.call("sample")).rejects.toThrow();
    expect(client.asked).toEqual([]);
    expect(told(upstream, await client.call("roots"))).toMatchObject(ANSWERS.roots);
    // A server on the official SDK does not ask who cannot answer.
    if (upstream === "modern") return;
    const codes = (await world.decisions()).filter(({ within }) => within).map(({ code }) => code);
    expect(codes.at(-1)).toBe("ok");
  },
);

test.each(ASKED_CLIENTS)("a %s client is asked what a server asks beside its call", async (_, connect) => {
  const client = await connected(connect, "legacy");
  for (let at = 0; at < 2; at += 1) expect(await client.call("aside")).toMatchObject(ANSWERS.elicitation);
  expect(client.asked).toEqual(["elicitation form", "elicitation form"]);
});

test("a modern client is led through several rounds of one call that is made once", async () => {
  const client = await connected(askedModern, "legacy");
  const before = legacy.state.calls;
  expect(await client.call("twice")).toMatchObject([ANSWERS.elicitation, ANSWERS.sampling]);
  expect(client.asked).toEqual(["elicitation form", "sampling"]);
  expect(legacy.state.calls).toBe(before + 1);
});

// ---------------------------------------------------------------- requestState

const MODERN = { [`${META}clientCapabilities`]: CAPABILITIES };

/** One request of a modern client that may be asked everything. */
async function raw(name: string, more: JsonObject = {}, { user = "ann", server = "legacy", args = {} } = {}) {
  const sent = { token: await world.token(user, server) };
  return callTool(world.url(server), name, args, sent, { _meta: MODERN, ...more });
}

interface Required {
  readonly inputRequests: Readonly<Record<string, { readonly method: string }>>;
  readonly requestState: string;
}
const required = async (...asked: Parameters<typeof raw>) =>
  (await raw(...asked)).body.result as unknown as Required;
const codeOf = ({ body }: Awaited<ReturnType<typeof raw>>) => body.error?.data.code;
const accept = (asked: Required) =>
  Object.fromEntries(Object.keys(asked.inputRequests).map((key) => [key, ANSWERS.elicitation]));

test.each(["legacy", "modern"])(
  "a requestState before a %s server is good for one user, tool, server and arguments, unaltered",
  async (server) => {
    const asked = await required("elicit", {}, { server });
    const { requestState } = asked;
    const retry = { requestState, inputResponses: accept(asked) };
    const state = server === "legacy" ? legacy.state : modern.state;
    const before = state.calls;
    expect(requestState).not.toContain("so far");
    expect(Buffer.from(requestState, "base64url").toString("latin1")).not.toContain("so far");
    expect(codeOf(await raw("elicit", retry, { server, user: "dee" }))).toBe("state_invalid");
    expect(codeOf(await raw("roots", retry, { server }))).toBe("state_invalid");
    expect(codeOf(await raw("elicit", retry, { server, args: { n: 1 } }))).toBe("state_invalid");
    if (server === "legacy")
      expect(codeOf(await raw("elicit", retry, { server: "other" }))).toBe("state_invalid");
    for (const at of [0, 40, requestState.length - 2]) {
      const other = requestState[at] === "A" ? "B" : "A";
      const altered = requestState.slice(0, at) + other + requestState.slice(at + 1);
      expect(codeOf(await raw("elicit", { ...retry, requestState: altered }, { server }))).toBe(
        "state_invalid",
      );
    }
    expect(codeOf(await raw("elicit", { ...retry, requestState: "made up" }, { server }))).toBe(
      "state_invalid",
    );
    expect(state.calls).toBe(before);
    expect((await world.decisions()).at(-1)).toMatchObject({ effect: "deny", code: "state_invalid" });
    const { result } = (await raw("elicit", retry, { server })).body;
    expect(JSON.stringify(result)).toContain("ann");
    expect(state.calls).toBe(before + (server === "legacy" ? 0 : 1));
    // The call that asked is over.
    if (server === "legacy") expect(codeOf(await raw("elicit", retry))).toBe("state_invalid");
  },
);

test("a state as long as an upstream's may be comes back to it by way of its client", async () => {
  const long = { server: "modern", args: { n: 21_000 } };
  const asked = await required("elicit", {}, long);
  const retry = { requestState: asked.requestState, inputResponses: accept(asked) };
  const { body } = await raw("elicit", retry, long);
  expect(JSON.stringify(body)).toContain("…".repeat(20_000));
  const longer = await raw("elicit", {}, { ...long, args: { n: 23_000 } });
  expect(codeOf(longer)).toBe("upstream_protocol");
});

test("a question that was not answered is asked again, and answers to what was not asked are none", async () => {
  const asked = await required("elicit");
  const stray = { [`${Object.keys(asked.inputRequests)[0]}0`]: ANSWERS.elicitation };
  const again = await required("elicit", { requestState: asked.requestState, inputResponses: stray });
  expect(again.inputRequests).toEqual(asked.inputRequests);
  const { body } = await raw("elicit", { requestState: again.requestState, inputResponses: accept(again) });
  expect(JSON.stringify(body.result)).toContain("ann");
  // A modern server is handed the answers as they are: one that it did not ask for would pass its grant by.
  const modernly = await required("elicit", {}, { server: "modern" });
  const inputResponses = { ...accept(modernly), model: ANSWERS.sampling };
  const { requestState } = modernly;
  const done = await raw("elicit", { requestState, inputResponses }, { server: "modern" });
  expect(JSON.stringify(done.body.result)).toContain("ann");
  expect(JSON.stringify(done.body.result)).not.toContain("hello");
});

async function swapPolicy(policy: string): Promise<void> {
  await writeIn(world.directory, "policies/main.rego", policy);
  await world.gateway.reload();
}

test("a retry is decided anew: without the grant's interaction it goes no further", async () => {
  const asked = await required("elicit");
  const before = modern.state.calls;
  const askedModernly = await required("elicit", {}, { server: "modern" });
  const calls = legacy.state.calls;
  await swapPolicy(POLICY.replace('"elicitation", ', ""));
  try {
    for (const [server, one] of [
      ["legacy", asked],
      ["modern", askedModernly],
    ] as const) {
      const retry = { requestState: one.requestState, inputResponses: accept(one) };
      expect(codeOf(await raw("elicit", retry, { server }))).toBe("interaction_refused");
    }
    // Answers that nobody asked for here are no other door.
    const unasked = { inputResponses: { name: { ...ANSWERS.elicitation, role: "assistant" } } };
    expect(codeOf(await raw("elicit", unasked, { server: "modern" }))).toBe("interaction_refused");
  } finally {
    await swapPolicy(POLICY);
  }
  expect(legacy.state.calls).toBe(calls);
  expect(modern.state.calls).toBe(before + 2);
});

test("a client that never comes back does not keep its user from being asked: the oldest call makes way", async () => {
  const cancelled = legacy.state.cancelled;
  const first = await required("elicit");
  const calls = await Promise.all(Array.from({ length: 16 }, () => required("elicit")));
  await until("the oldest to be cancelled upstream", () => legacy.state.cancelled > cancelled);
  const lost = { requestState: first.requestState, inputResponses: accept(first) };
  expect(codeOf(await raw("elicit", lost))).toBe("state_invalid");
  for (const one of calls) {
    const { body } = await raw("elicit", { requestState: one.requestState, inputResponses: accept(one) });
    expect(body.result?.content).toBeDefined();
  }
});

test("a modern client that goes away while its call works cancels it upstream", async () => {
  const cancelled = legacy.state.cancelled;
  const asked = await required("twice");
  const stop = new AbortController();
  const token = await world.token("ann", "legacy");
  const slow = callTool(world.url("legacy"), "slow", {}, { token, signal: stop.signal }, { _meta: MODERN });
  await until("the call upstream", () => legacy.state.calls > 0);
  setTimeout(() => stop.abort(), 100);
  await expect(slow).rejects.toThrow();
  await until("the cancellation", () => legacy.state.cancelled === cancelled + 1);
  const { body } = await raw("twice", { requestState: asked.requestState, inputResponses: accept(asked) });
  expect(body.result).toMatchObject({ resultType: "input_required" });
});

// ---------------------------------------------------------------- questions to legacy sessions

async function legacySession(user = "ann", capabilities: JsonObject = CAPABILITIES) {
  const url = world.url("legacy");
  const token = await world.token(user, "legacy");
  const params = { protocolVersion: "2025-11-25", capabilities, clientInfo: { name: "raw", version: "1" } };
  const { headers } = await ask(url, "initialize", params, { token, era: "legacy" });
  const session = headers.get("mcp-session-id") ?? "";
  const post = (body: JsonObject, as = { token, session }) =>
    fetch(url, {
      method: "POST",
      body: JSON.stringify({ jsonrpc: "2.0", ...body }),
      headers: {
        "content-type": "application/json",
        accept: "application/json, text/event-stream",
        authorization: `Bearer ${as.token}`,
        "mcp-session-id": as.session,
        "mcp-protocol-version": "2025-11-25",
      },
    });
  return { token, session, post };
}

/** The messages of an event stream as they come. */
async function* eventsOf(response: Response): AsyncGenerator<JsonObject> {
  let text = "";
  const decoder = new TextDecoder();
  for await (const chunk of response.body ?? []) {
    text += decoder.decode(chunk as Uint8Array, { stream: true });
    const events = text.split("\n\n");
    text = events.pop() ?? "";
    for (const event of events) {
      const data = /^data: (.+)$/m.exec(event)?.[1];
      if (data !== undefined) yield JSON.parse(data);
    }
  }
}

test("an answer of another session or user, or to an id of one's own making, is as good as none", async () => {
  const ann = await legacySession();
  const again = await legacySession();
  const dee = await legacySession("dee");
  const calling = await ann.post({ id: 7, method: "tools/call", params: { name: "elicit", arguments: {} } });
  const events = eventsOf(calling);
  const { value: question } = await events.next();
  const { id } = question as { id: string };
  const answer = (of: unknown, name: string) => ({
    id: of as string,
    result: { action: "accept", content: { name } },
  });
  for (const other of [again, dee]) expect((await other.post(answer(id, "mallory"))).status).toBe(202);
  for (const forged of ["1", `${id}x`, `x.${id}`, 1])
    expect((await ann.post(answer(forged, "mallory"))).status).toBe(202);
  const stolen = await dee.post(answer(id, "mallory"), { token: dee.token, session: ann.session });
  expect(stolen.status).toBe(404);
  expect((await ann.post(answer(id, "ann"))).status).toBe(202);
  const { value: last } = await events.next();
  expect(JSON.stringify(last)).toContain("ann");
  expect(JSON.stringify(last)).not.toContain("mallory");
});

test("a question that its server withdraws is withdrawn from the client", async () => {
  const ann = await legacySession();
  const calling = await ann.post({ id: 8, method: "tools/call", params: { name: "elicit", arguments: {} } });
  const events = eventsOf(calling);
  const { value: question } = await events.next();
  await ann.post({ method: "notifications/cancelled", params: { requestId: 8 } });
  const rest: JsonObject[] = [];
  for await (const event of events) rest.push(event);
  expect(rest[0]).toMatchObject({
    method: "notifications/cancelled",
    params: { requestId: (question as { id: string }).id },
  });
});

test("a client that answers with an error is one that declined, to a modern server", async () => {
  const url = world.url("modern");
  const token = await world.token("ann", "modern");
  const client = await askedV1(url, token);
  open.push(client);
  (client.client as Client).setRequestHandler(ElicitRequestSchema, () => {
    throw new Error("no");
  });
  expect(await client.call("elicit")).toMatchObject([[{ action: "cancel" }], "elicit so far"]);
});

// ---------------------------------------------------------------- -32042

test("a page that must be opened first is told to a legacy client with the server's own error", async () => {
  const ann = await legacySession();
  const params = { name: "open", arguments: {} };
  const bob = await legacySession("bob");
  // The server throws only once.
  const told = await ann.post({ id: 1, method: "tools/call", params });
  const body = (await told.json()) as { error: JsonObject };
  expect(body.error).toMatchObject({
    code: -32042,
    data: { elicitations: [{ mode: "url", elicitationId: "page-2", url: "https://desk.example/open" }] },
  });
  expect((await world.decisions()).at(-1)).toMatchObject({ method: "elicitation/create", code: "ok" });
  await bob.post({ id: 1, method: "tools/call", params });
});

test("the same page is a question to a modern client, and its retry makes the call anew", async () => {
  const fresh = await serveAskingLegacy();
  const own = await openWorld({
    config: { upstreams: { legacy: { url: fresh.url } }, servers: { legacy: { upstreams: ["legacy"] } } },
    policies: POLICY,
  });
  try {
    const client = await askedModern(own.url("legacy"), await own.token("ann", "legacy"));
    expect(await client.call("open")).toBe("opened");
    expect(client.asked).toEqual(["elicitation url"]);
    expect(fresh.state.calls).toBe(2);
    await client.close();
  } finally {
    await own.close();
    await fresh.close();
  }
});

// ---------------------------------------------------------------- what a call says on its way

test("a call tells progress and log messages at its caller's level, and nothing of what is hidden or unknown", async () => {
  const ann = await legacySession();
  const call = async (name: string) => {
    const found: JsonObject[] = [];
    const response = await ann.post({ id: name, method: "tools/call", params: { name, arguments: {} } });
    for await (const event of eventsOf(response)) found.push(event);
    return found.map(({ method, params }) => (params ? [method, (params as JsonObject).data] : "answer"));
  };
  expect(await call("log")).toEqual([
    ["notifications/message", "debug"],
    ["notifications/message", "error"],
    "answer",
  ]);
  await ann.post({ id: 2, method: "logging/setLevel", params: { level: "warning" } });
  expect(await call("log")).toEqual([["notifications/message", "error"], "answer"]);
  expect(await call("gossip")).toEqual([["notifications/resources/updated", undefined], "answer"]);
  const modernly = await raw("log");
  expect(modernly.before).toEqual([]);
  const wanting = await raw("log", { _meta: { ...MODERN, [`${META}logLevel`]: "error" } });
  expect(wanting.before).toMatchObject([{ params: { level: "error" } }]);
});
