import { execFileSync } from "node:child_process";
import { expect, onTestFinished, test } from "vitest";
import type { Era } from "../../src/domain.ts";
import type { JsonObject } from "../../src/lib/json.ts";
import { methodTable } from "../../src/protocol/methods.ts";
import { serveAskingLegacy } from "./asking.ts";
import { openRaw } from "./raw-session.ts";
import { listing, serveShelf } from "./shelf.ts";
import { ask, openSession, openWorld, until, type World } from "./world.ts";

const EXTENSION = "io.modelcontextprotocol/tasks";
const META = "io.modelcontextprotocol/clientCapabilities";
const WORKING = { status: "working", createdAt: "2026-01-01T00:00:00Z", ttl: 60_000 };
const LISTS = listing({
  tools: [{ name: "run", inputSchema: { type: "object" } }],
  resources: [{ uri: "doc://x", name: "x" }],
  prompts: [{ name: "ask", arguments: [{ name: "of" }] }],
});
const ANSWERS = {
  ...LISTS,
  "resources/read": () => '{"contents":[]}',
  "prompts/get": () => '{"messages":[]}',
  "completion/complete": () => '{"completion":{"values":[]}}',
  "logging/setLevel": () => "{}",
  "tasks/result": () => '{"content":[]}',
  "tasks/update": () => "{}",
};
const RULES = `package authz

grant contains {"reason": "anyone", "interaction": ["elicitation"]}
`;
const SERVED = {
  tools: {},
  resources: { subscribe: true },
  prompts: {},
  completions: {},
  logging: {},
};

/** A request of each method that the record must hold, which is answered while it can be recorded. */
const PARAMS: Readonly<Record<string, JsonObject>> = {
  initialize: {
    protocolVersion: "2025-11-25",
    capabilities: {},
    clientInfo: { name: "raw", version: "1" },
  },
  "tools/call": { name: "run", arguments: {} },
  "prompts/get": { name: "ask" },
  "resources/read": { uri: "doc://x" },
  "resources/subscribe": { uri: "doc://x" },
  "resources/unsubscribe": { uri: "doc://x" },
  "completion/complete": { ref: { type: "ref/prompt", name: "ask" }, argument: { name: "of", value: "" } },
  "logging/setLevel": { level: "error" },
  "subscriptions/listen": { notifications: {} },
  "tasks/update": { inputResponses: {} },
};
const ROWS = methodTable().filter(({ kind, recorded }) => kind === "request" && recorded !== "nothing");
const ASKED = ROWS.flatMap(({ method, eras }) => eras.map((era) => [era, method] as const));

async function serveBoth() {
  const legacy = await serveShelf(
    { capabilities: { ...SERVED, tasks: { list: {}, cancel: {}, requests: { tools: { call: {} } } } } },
    {
      ...ANSWERS,
      "tools/call": ({ task }) =>
        JSON.stringify(task === undefined ? { content: [] } : { task: { taskId: "t", ...WORKING } }),
      "tasks/get": () => JSON.stringify({ taskId: "t", ...WORKING }),
      "tasks/cancel": () => JSON.stringify({ taskId: "t", ...WORKING, status: "cancelled" }),
    },
  );
  const modern = await serveShelf(
    { era: "modern", capabilities: { ...SERVED, extensions: { [EXTENSION]: {} } } },
    {
      ...ANSWERS,
      "tools/call": () => '{"resultType":"task","taskId":"t","status":"working","ttlMs":60000}',
      "tasks/get": () => '{"resultType":"complete","taskId":"t","status":"working"}',
      "tasks/cancel": () => "{}",
    },
  );
  return { legacy, modern };
}

/** A gateway with a virtual server of the same name for each upstream. */
async function openTo(
  upstreams: Readonly<Record<string, { readonly url: string; close(): Promise<void> }>>,
): Promise<World> {
  const named = <T>(of: (name: string, url: string) => T) =>
    Object.fromEntries(Object.entries(upstreams).map(([name, { url }]) => [name, of(name, url)]));
  for (const { close } of Object.values(upstreams)) onTestFinished(close);
  const world = await openWorld({
    config: { upstreams: named((_, url) => ({ url })), servers: named((name) => ({ upstreams: [name] })) },
    policies: RULES,
  });
  onTestFinished(world.close);
  return world;
}

/** A client with a task of its own, in an upstream of its own era. */
async function clientOf(world: World, era: Era) {
  const token = await world.token("ann", era);
  const url = world.url(era);
  const session = era === "legacy" ? { session: await openSession(url, token) } : {};
  const _meta = { [META]: { extensions: { [EXTENSION]: {} } } };
  const send = async (method: string, params: JsonObject) => {
    const name = params.taskId ?? params.uri;
    const headers: Record<string, string> =
      era === "modern" && typeof name === "string" ? { "mcp-name": name } : {};
    const own = method === "initialize" ? {} : session;
    return ask(url, method, { ...params, _meta }, { token, era, headers, ...own });
  };
  // A modern server makes a task of it unasked.
  const asTask: JsonObject = era === "legacy" ? { task: { ttl: 60_000 } } : {};
  const { body } = await send("tools/call", { name: "run", arguments: {}, ...asTask });
  const { taskId = "" } = (body.result?.task ?? body.result) as JsonObject;
  return async (method: string) => {
    const ofTask = method.startsWith("tasks/") && method !== "tasks/list" ? { taskId } : {};
    const { status, body } = await send(method, { ...PARAMS[method], ...ofTask });
    return { status, code: body.error?.data.code ?? "ok" };
  };
}

/** Every write of this process to a file fails until the test is over (EFBIG), as on a full disk. */
function fillDisk(): void {
  const pid = String(process.pid);
  execFileSync("prlimit", ["--pid", pid, "--fsize=0:"]);
  onTestFinished(() => void execFileSync("prlimit", ["--pid", pid, "--fsize=unlimited:"]));
}

test("what cannot be recorded does nothing and is refused, whichever method of whichever era", async () => {
  const upstreams = await serveBoth();
  const world = await openTo(upstreams);
  const clients = { legacy: await clientOf(world, "legacy"), modern: await clientOf(world, "modern") };
  const answers = async () => {
    const said = new Map<string, unknown>();
    for (const [era, method] of ASKED) said.set(`${era} ${method}`, await clients[era](method));
    return Object.fromEntries(said);
  };
  const all = (said: object) => Object.fromEntries(ASKED.map(([era, method]) => [`${era} ${method}`, said]));
  expect(await answers()).toEqual(all({ status: 200, code: "ok" }));

  const seen = () => Object.values(upstreams).map((one) => one.seen.map(({ method }) => method));
  const before = seen();
  fillDisk();
  expect(await answers()).toEqual(all({ status: 503, code: "audit_unavailable" }));
  expect(seen()).toEqual(before);
});

test.each([
  ["of a call", "late"],
  ["of no call", "after"],
])("a question %s that cannot be recorded is put to nobody, and no stream is opened", async (_, name) => {
  const asking = await serveAskingLegacy();
  const world = await openTo({ asking });
  const token = await world.token("ann", "asking");
  const client = await openRaw(world.url("asking"), token, { capabilities: { elicitation: {} } });
  const standing = await client.get();
  const call = await client.call(1, "tools/call", { name, arguments: {}, _meta: { progressToken: 1 } });
  if (name === "late") await call.next("notifications/progress");

  fillDisk();
  asking.state.progressed();
  await until("the refusal", () => asking.state.failures.length > 0);
  expect([...call.said(), ...standing.said()]).not.toContain("elicitation/create");
  expect((await client.get()).status).toBe(503);
});
