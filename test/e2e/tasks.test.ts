import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { JsonObject } from "../../src/lib/json.ts";
import { type Served, serveEverything } from "../upstream/servers.ts";
import { openRaw } from "./raw-session.ts";
import { listing, type Shelf, serveShelf } from "./shelf.ts";
import { ask, openSession, openWorld, textBelow, until, type World, writeIn } from "./world.ts";

const RULES = `package authz

grant contains {"reason": "anyone at all"} if not input.server in {"asking", "leased"}

grant contains {"reason": "with a credential", "credential": {"source": "own"}} if input.target.upstream == "leased"

grant contains {"reason": "it may ask", "interaction": ["elicitation"]} if input.server == "asking"

deny contains "secret" if contains(input.target.name, "secret")
`;

const TOOLS = ["run", "other"].map((name) => ({ name, inputSchema: { type: "object" } }));
const EXTENSION = "io.modelcontextprotocol/tasks";
const LEGACY_TASKS = { list: {}, cancel: {}, requests: { tools: { call: {} } } };

let everything: Served;
let legacy: Shelf;
let rival: Shelf;
let modern: Shelf;
let world: World;
/** What a modern task says of itself now. */
let state: JsonObject = {};
let made = 0;

const CONTENT = [
  { type: "text", text: "done" },
  { type: "resource_link", uri: "doc://secret", name: "x" },
  { type: "resource_link", uri: "doc://open", name: "y" },
];

beforeAll(async () => {
  const oldTask = (taskId: unknown) => ({
    taskId,
    status: "working",
    createdAt: "2026-01-01T00:00:00Z",
    ttl: 60_000,
  });
  const legacyAnswers = {
    ...listing({ tools: TOOLS }),
    "tools/call": ({ task }: JsonObject) =>
      JSON.stringify(
        task === undefined ? { content: [] } : { task: oldTask(`task-${++made}`), _meta: { kept: 1 } },
      ),
    "tasks/get": ({ taskId }: JsonObject) => JSON.stringify({ ...oldTask(taskId), extra: [1] }),
    "tasks/result": () => JSON.stringify({ content: CONTENT }),
    "tasks/cancel": ({ taskId }: JsonObject) => JSON.stringify({ ...oldTask(taskId), status: "cancelled" }),
  };
  const capabilities = { tools: {}, resources: {}, tasks: LEGACY_TASKS };
  [everything, legacy, rival, modern] = await Promise.all([
    serveEverything(),
    serveShelf({ capabilities }, legacyAnswers),
    serveShelf(
      { capabilities, name: "rival" },
      { ...legacyAnswers, "tools/call": () => JSON.stringify({ task: oldTask("task-1") }) },
    ),
    serveShelf(
      { era: "modern", capabilities: { tools: {}, resources: {}, extensions: { [EXTENSION]: {} } } },
      {
        ...listing({ tools: TOOLS }),
        "tools/call": () =>
          `{"resultType":"task","taskId":"modern-${++made}","status":"working","ttlMs":60000,"big":9007199254740993}`,
        "tasks/get": ({ taskId }) => JSON.stringify({ resultType: "complete", taskId, ...state }),
        "tasks/update": () => "{}",
        "tasks/cancel": () => "{}",
      },
    ),
  ]);
  const servers = ["everything", "legacy", "twice", "rival", "modern", "asking", "leased"];
  const given = { record: {}, servers, credentials: { own: {} } };
  world = await openWorld({
    config: {
      upstreams: {
        everything: { url: everything.url },
        legacy: { url: legacy.url },
        rival: { url: rival.url },
        modern: { url: modern.url },
        leased: { url: legacy.url },
      },
      servers: {
        everything: { upstreams: ["everything"] },
        legacy: { upstreams: ["legacy"] },
        twice: { upstreams: ["legacy", "rival"] },
        rival: { upstreams: ["rival"] },
        modern: { upstreams: ["modern"] },
        asking: { upstreams: ["modern"] },
        leased: { upstreams: ["leased"] },
      },
      credentials: { own: { type: "signed-jwt", audience: "https://leased", upstreams: ["leased"] } },
      tenants: { acme: given, globex: given },
    },
    policies: RULES,
  });
});
afterAll(async () => {
  await world.close();
  await Promise.all([everything.close(), legacy.close(), rival.close(), modern.close()]);
});

/** A client of either era. */
async function clientOf(server: string, user = "ann", era: "legacy" | "modern" = "legacy") {
  const token = await world.token(user, server);
  const session = era === "legacy" ? { session: await openSession(world.url(server), token) } : {};
  const meta =
    era === "modern"
      ? {
          _meta: {
            "io.modelcontextprotocol/clientCapabilities": {
              extensions: { [EXTENSION]: {} },
              elicitation: {},
            },
          },
        }
      : {};
  return async (method: string, params: JsonObject = {}) => {
    const { taskId } = params;
    const headers: Record<string, string> =
      era === "modern" && typeof taskId === "string" ? { "mcp-name": taskId } : {};
    const { body, text } = await ask(
      world.url(server),
      method,
      { ...params, ...meta },
      { token, era, ...session, headers },
    );
    return { result: body.result ?? {}, code: body.error?.data?.code ?? body.error?.code ?? "ok", text };
  };
}

const taskIn = ({ result }: { result: JsonObject }) => String((result.task as JsonObject).taskId);
const start = { name: "run", arguments: { a: 1 }, task: { ttl: 60_000 } };

test("a legacy task of the official server is followed to its result, and is nobody else's", async () => {
  const ann = await clientOf("everything");
  const { tools } = (await ann("tools/list")).result;
  expect((tools as JsonObject[]).map(({ name }) => name)).toContain("simulate-research-query");
  const created = await ann("tools/call", {
    name: "simulate-research-query",
    arguments: { topic: "bees" },
    task: { ttl: 60_000 },
  });
  const taskId = taskIn(created);
  const dee = await clientOf("everything", "dee");
  for (const method of ["tasks/get", "tasks/result", "tasks/cancel"])
    expect((await dee(method, { taskId })).code).toBe("not_found");
  expect((await dee("tasks/list")).result.tasks).toEqual([]);
  const listed = (await ann("tasks/list")).result.tasks as JsonObject[];
  expect(listed.map((one) => one.taskId)).toEqual([taskId]);
  await until("the end", async () => (await ann("tasks/get", { taskId })).result.status === "completed");
  const { result } = await ann("tasks/result", { taskId });
  expect(JSON.stringify(result.content)).toContain("bees");
});

test("what becomes of a task is told on its maker's own stream, while the call would be allowed", async () => {
  const url = world.url("everything");
  const session = await openRaw(url, await world.token("ann", "everything"));
  const stream = await session.get();
  const params = { name: "simulate-research-query", arguments: { topic: "bees" }, task: { ttl: 60_000 } };
  const created = await (await session.call(1, "tools/call", params)).text;
  const { taskId } = (JSON.parse(created).result as { task: JsonObject }).task;
  const told = await stream.next("notifications/tasks/status");
  expect(told.params).toMatchObject({ taskId, status: expect.any(String) });
  stream.close();
});

test("a task's id is as good as none for another user, another virtual server and the other era", async () => {
  const ann = await clientOf("legacy");
  const taskId = taskIn(await ann("tools/call", start));
  expect((await ann("tasks/get", { taskId })).code).toBe("ok");
  const before = legacy.seen.length;
  const others = [
    await clientOf("legacy", "dee"),
    await clientOf("legacy", "bob"),
    await clientOf("twice"),
    await clientOf("rival"),
    await clientOf("legacy", "ann", "modern"),
  ];
  const unknown = await ann("tasks/get", { taskId: "nothing" });
  for (const other of others) {
    const { text } = await other("tasks/get", { taskId });
    expect(text).toBe(unknown.text);
    expect((await other("tasks/cancel", { taskId })).code).toBe("not_found");
  }
  expect(legacy.seen.slice(before).filter(({ method }) => method.startsWith("tasks/"))).toEqual([]);
  // Another session of the same user goes on with it.
  expect((await (await clientOf("legacy"))("tasks/get", { taskId })).code).toBe("ok");
});

test("a task's messages pass as they are, and its result is filtered as its call's would be", async () => {
  const ann = await clientOf("legacy");
  const created = await ann("tools/call", start);
  expect(created.result._meta).toEqual({ kept: 1 });
  const taskId = taskIn(created);
  expect((await ann("tasks/get", { taskId })).result).toMatchObject({
    taskId,
    status: "working",
    extra: [1],
  });
  const { result } = await ann("tasks/result", { taskId });
  expect((result.content as JsonObject[]).map(({ uri, type }) => uri ?? type)).toEqual([
    "text",
    "doc://open",
  ]);
  expect((await ann("tasks/cancel", { taskId })).result.status).toBe("cancelled");
  const decision = (await world.decisions()).at(-1);
  expect(decision).toMatchObject({
    method: "tasks/cancel",
    target: { upstream: "legacy", kind: "tool", name: "run" },
    named: taskId,
    arguments: { a: 1 },
    grant: { reason: "anyone at all" },
  });
});

test("two servers that give one id do not get each other's", async () => {
  const bob = await clientOf("twice", "bob");
  made = 0;
  expect(taskIn(await bob("tools/call", { ...start, name: "legacy__run" }))).toBe("task-1");
  expect((await bob("tools/call", { ...start, name: "rival__run" })).code).toBe("upstream_protocol");
  made = 100;
  const before = rival.of("tasks/get").length;
  expect((await bob("tasks/get", { taskId: "task-1" })).code).toBe("ok");
  expect(rival.of("tasks/get").length).toBe(before);
});

test("tasks are listed in pages, and decided again after a change of policy", async () => {
  const dee = await clientOf("legacy", "dee");
  const ids: string[] = [];
  for (let n = 0; n < 25; n += 1)
    ids.push(taskIn(await dee("tools/call", { ...start, name: n === 0 ? "other" : "run" })));
  const pages = [];
  let cursor: unknown;
  do {
    const { result } = await dee("tasks/list", cursor === undefined ? {} : { cursor: String(cursor) });
    pages.push((result.tasks as JsonObject[]).map(({ taskId }) => taskId));
    cursor = result.nextCursor;
  } while (cursor !== undefined);
  expect(pages.map((page) => page.length)).toEqual([10, 10, 5]);
  expect(pages.flat().sort()).toEqual([...ids].sort());

  const revision = () => world.gateway.status().policies.platform.revision;
  const before = revision();
  await writeIn(
    world.directory,
    "policies/main.rego",
    `${RULES}\ndeny contains "no more" if input.target.name == "run"\n`,
  );
  await until("the new policies", () => revision() !== before);
  expect((await dee("tasks/list")).result.tasks).toMatchObject([{ taskId: ids[0] }]);
  const asked = legacy.seen.length;
  for (const method of ["tasks/get", "tasks/result", "tasks/cancel"])
    expect((await dee(method, { taskId: ids[1] ?? "" })).code).toBe("not_found");
  expect(legacy.seen.length).toBe(asked);
  await writeIn(world.directory, "policies/main.rego", RULES);
  await until("the old policies", () => revision() === before);
});

test("each task of a list is asked for under a decision, a lease and an outcome of its own", async () => {
  const bob = await clientOf("leased", "bob");
  const ids = [taskIn(await bob("tools/call", start)), taskIn(await bob("tools/call", start))];
  const asked = legacy.of("tasks/get").length;
  const listed = (await bob("tasks/list")).result.tasks as JsonObject[];
  expect(listed.map(({ taskId }) => taskId).sort()).toEqual(ids.sort());
  const of = (method: string) => async () =>
    (await world.decisions()).filter((one) => one.server === "leased" && one.method === method);
  expect(await of("tasks/list")()).toMatchObject([{ effect: "allow", listed: 2, of: 2 }]);
  const own = await of("tasks/get")();
  expect(own.map(({ named, target, effect }) => [named, target?.name, effect]).sort()).toEqual(
    ids.map((id) => [id, "run", "allow"]),
  );
  const [lease] = (await world.records()).flatMap((one) => (one.phase === "lease" ? [one.lease_sha256] : []));
  for (const { id } of own) {
    const outcome = await until("its outcome", async () =>
      (await world.outcomes()).find(({ decision }) => decision === id),
    );
    expect(outcome).toMatchObject({ status: "ok", is_error: false, lease_sha256: lease });
  }
  const sent = legacy.of("tasks/get").slice(asked);
  expect(sent.map(({ headers }) => headers["portcullis-decision"]).sort()).toEqual(
    own.map(({ id }) => id).sort(),
  );
  for (const { headers } of sent) expect(headers.authorization).toMatch(/^Bearer /);
});

test("a list tells nothing of another task that its server names instead", async () => {
  const bob = await clientOf("legacy", "bob");
  const taskId = taskIn(await bob("tools/call", start));
  const { answers } = legacy;
  const listed = async (told: string) => {
    legacy.answers = { ...answers, "tasks/get": () => JSON.stringify({ taskId: told, status: "working" }) };
    return (await bob("tasks/list")).result.tasks;
  };
  try {
    expect(await listed("another's")).toEqual([]);
    expect(await listed(taskId)).toMatchObject([{ taskId }]);
  } finally {
    legacy.answers = answers;
  }
});

test("what is asked about a task is on record when its server is asked", async () => {
  const { answers } = legacy;
  const arrived: [method: string, isRecorded: boolean][] = [];
  const watched = Object.entries(answers).map(([method, answer]): [string, typeof answer] => [
    method,
    (params, arrival) => {
      const id = `"id":"${arrival.headers["portcullis-decision"]}"`;
      if ("taskId" in params) arrived.push([method, textBelow(join(world.directory, "log")).includes(id)]);
      return answer(params, arrival);
    },
  ]);
  const clients = await Promise.all(Array.from({ length: 20 }, () => clientOf("legacy")));
  const own = await Promise.all(clients.map(async (ann) => taskIn(await ann("tools/call", start))));
  legacy.answers = Object.fromEntries(watched);
  try {
    const asked = clients.map((ann, at) => ann("tasks/get", { taskId: own[at] ?? "" }));
    const answered = await Promise.all(asked);
    expect(answered.map(({ code }) => code)).toEqual(Array(20).fill("ok"));
  } finally {
    legacy.answers = answers;
  }
  expect(arrived).toEqual(Array(20).fill(["tasks/get", true]));
});

test("a modern task is followed by its maker, and what it ends with is filtered", async () => {
  const ann = await clientOf("modern", "ann", "modern");
  const created = await ann("tools/call", { name: "run", arguments: { a: 1 } });
  expect(created.text).toContain('"big":9007199254740993');
  const taskId = String(created.result.taskId);
  state = { status: "completed", result: { content: CONTENT, resultType: "complete" }, more: 1 };
  const { result } = await ann("tasks/get", { taskId });
  expect(result).toMatchObject({ taskId, status: "completed", more: 1 });
  const { content } = result.result as { content: JsonObject[] };
  expect(content.map(({ uri, type }) => uri ?? type)).toEqual(["text", "doc://open"]);
  expect(modern.of("tasks/get").at(-1)?.headers["mcp-name"]).toBe(taskId);
  const dee = await clientOf("modern", "dee", "modern");
  for (const method of ["tasks/get", "tasks/cancel"])
    expect((await dee(method, { taskId })).code).toBe("not_found");
  expect((await dee("tasks/update", { taskId, inputResponses: {} })).code).toBe("not_found");
  expect((await ann("tasks/cancel", { taskId })).code).toBe("ok");
});

test("a task asks, and is answered, within what the grant lets its server ask", async () => {
  const question = {
    method: "elicitation/create",
    params: { message: "Who?", requestedSchema: { type: "object", properties: {} } },
  };
  const sampling = { method: "sampling/createMessage", params: { messages: [], maxTokens: 1 } };
  const answers = {
    who: { action: "accept", content: { name: "ann" } },
    model: { role: "assistant", content: { type: "text", text: "x" }, model: "m" },
  };
  state = { status: "input_required", inputRequests: { who: question } };

  const ann = await clientOf("asking", "ann", "modern");
  const taskId = String((await ann("tools/call", { name: "run", arguments: {} })).result.taskId);
  expect((await ann("tasks/get", { taskId })).result.inputRequests).toEqual({ who: question });
  expect((await ann("tasks/update", { taskId, inputResponses: answers })).code).toBe("ok");
  expect(modern.of("tasks/update").at(-1)?.params).toMatchObject({
    taskId,
    inputResponses: { who: answers.who },
  });
  expect(modern.of("tasks/update").at(-1)?.params.inputResponses).not.toHaveProperty("model");
  state = { status: "input_required", inputRequests: { model: sampling } };
  expect((await ann("tasks/get", { taskId })).code).toBe("interaction_refused");

  const silent = await clientOf("modern", "ann", "modern");
  const own = String((await silent("tools/call", { name: "run", arguments: {} })).result.taskId);
  state = { status: "input_required", inputRequests: { who: question } };
  expect((await silent("tasks/get", { taskId: own })).code).toBe("interaction_refused");
  const before = modern.of("tasks/update").length;
  expect((await silent("tasks/update", { taskId: own, inputResponses: answers })).code).toBe(
    "interaction_refused",
  );
  expect(modern.of("tasks/update").length).toBe(before);
});
