import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { readDecided } from "../../src/audit/read.ts";
import type { JsonObject } from "../../src/lib/json.ts";
import { cpuClock } from "../support/cpu.ts";
import { listing, type Shelf, serveShelf, type Told } from "./shelf.ts";
import { ask, openSession, openWorld, until, type World, writeIn } from "./world.ts";

/** Tools, prompts and some resources are open to everyone; what is secret is closed to all. */
const RULES = `package authz

grant contains {"reason": "tools and prompts"} if input.target.kind in {"tool", "prompt", "server"}

grant contains {"reason": "open pages"} if {
	input.target.kind == "resource"
	startswith(input.target.name, "doc://open/")
}

grant contains {"reason": "numbered pages", "arguments": {"n": {"pattern": "[0-9]"}}} if input.target.name == "page://{n}"

grant contains {"reason": "own pages", "arguments": {"tenant": {"set": "acme"}}} if {
	input.target.name == "own://x{?tenant,page}"
}

deny contains "secret" if contains(input.target.name, "secret")
`;

let legacy: Shelf;
let modern: Shelf;
let world: World;

/** Stands for an integer that only text keeps. */
const BIG = "the big one";
const LISTS = listing({
  tools: [
    { name: "look", inputSchema: { type: "object" } },
    {
      name: "app",
      inputSchema: { type: "object" },
      _meta: { ui: { resourceUri: "ui://secret/app", visibility: ["model"] } },
    },
    {
      name: "old-app",
      inputSchema: { type: "object" },
      _meta: { "ui/resourceUri": "ui://secret/app", kept: BIG },
    },
  ],
  resources: [
    { uri: "doc://open/1", name: "one" },
    { uri: "doc://secret/1", name: "two" },
    { uri: "doc://closed/1", name: "nobody was granted it" },
  ],
  templates: [
    { uriTemplate: "page://{n}", name: "pages" },
    { uriTemplate: "own://x{?tenant,page}", name: "pages of a tenant, which its grant sets" },
  ],
  prompts: [{ name: "brief" }],
});
/** What the next call, prompt or read is answered with. */
let told: Told = "{}";

beforeAll(async () => {
  const answers = {
    ...LISTS,
    "tools/list": () =>
      String(LISTS["tools/list"]?.({}, undefined as never)).replace(`"${BIG}"`, "9007199254740993"),
    "tools/call": () => told,
    "prompts/get": () => told,
    "resources/read": () => told,
  };
  [legacy, modern] = await Promise.all([
    serveShelf({ name: "legacy" }, answers),
    serveShelf({ name: "modern", era: "modern" }, answers),
  ]);
  world = await openWorld({
    config: {
      upstreams: { legacy: { url: legacy.url }, modern: { url: modern.url } },
      servers: {
        legacy: { upstreams: ["legacy"] },
        modern: { upstreams: ["modern"] },
        both: { upstreams: ["legacy", "modern"] },
      },
    },
    policies: RULES,
  });
});
afterAll(async () => {
  await world.close();
  await Promise.all([legacy.close(), modern.close()]);
});

const sessions: Record<string, string> = {};

async function asked(
  method: string,
  params: JsonObject,
  server = "legacy",
  era: "legacy" | "modern" = "modern",
) {
  const token = await world.token("ann", server);
  if (era === "legacy") sessions[server] ??= await openSession(world.url(server), token);
  const name = params.name ?? params.uri;
  return ask(world.url(server), method, params, {
    token,
    era,
    ...(era === "legacy"
      ? { session: sessions[server] ?? "" }
      : { headers: typeof name === "string" ? { "mcp-name": name } : {} }),
  });
}

const answered = async (text: Told, server = "legacy", era: "legacy" | "modern" = "modern") => {
  told = text;
  const name = server === "both" ? "legacy__look" : "look";
  return (await asked("tools/call", { name, arguments: {} }, server, era)).body;
};

/** The outcome of the newest decision about a target. */
async function outcome() {
  const decision = (await world.decisions()).filter(({ target }) => target !== null).at(-1);
  return until("the outcome", async () =>
    (await world.outcomes()).find((one) => one.decision === decision?.id),
  );
}

const link = (uri: string) =>
  `{"type":"resource_link","uri":${JSON.stringify(uri)},"name":"x","big":9007199254740993}`;
const embedded = (uri: string) =>
  `{"type":"resource","resource":{"uri":${JSON.stringify(uri)},"text":"inside","n":1.0},"annotations":{"priority":1}}`;
const text = '{"type":"text","text":"resource_link to doc://secret/1"}';
const said = (body: { result?: JsonObject }) => body.result?.content as JsonObject[];
const uris = (blocks: JsonObject[]) =>
  blocks.map((one) => one.uri ?? (one.resource as JsonObject | undefined)?.uri ?? one.type);

const CELLS = (["legacy", "modern"] as const).flatMap((server) =>
  (["legacy", "modern"] as const).map((era) => [era, server] as const),
);

test.each(CELLS)(
  "a %s client of a %s server is shown no link and no content of what it could not read",
  async (era, server) => {
    const blocks = [
      text,
      link("doc://open/1"),
      link("doc://secret/1"),
      link("doc://closed/1"),
      link("page://7"),
      link("page://77"),
      link("nowhere://x"),
      // A read of it would be sent to the caller's own tenant's.
      link("own://x?page=1"),
      embedded("own://x?page=1"),
      embedded("doc://open/1"),
      embedded("doc://secret/1"),
      embedded("doc://closed/1"),
      embedded("page://77"),
      embedded("made-up://here"),
      embedded("made-up://secret"),
    ];
    const body = await answered(`{"content":[${blocks.join(",")}],"isError":false}`, server, era);
    expect(uris(said(body))).toEqual(["text", "doc://open/1", "page://7", "doc://open/1", "made-up://here"]);
    expect((await outcome()).withheld).toBe(10);
  },
);

test("behind several servers links and contents carry the URIs that can be read there", async () => {
  const body = await answered(
    `{"content":[${link("doc://open/1")},${embedded("doc://open/2")},${link("doc://secret/1")}]}`,
    "both",
  );
  expect(uris(said(body))).toEqual(["legacy+doc://open/1", "legacy+doc://open/2"]);
});

test.each<[string, string]>([
  ["an escaped type", '{"type":"\\u0072esource_link","uri":"doc://secret/1","name":"x"}'],
  ["an escaped key", '{"t\\u0079pe":"resource_link","\\u0075ri":"doc://secret/1","name":"x"}'],
  ["an escaped URI", '{"type":"resource_link","uri":"doc://\\u0073ecret/1","name":"x"}'],
  ["a percent-encoded URI", link("doc://%73ecret/1")],
  ["another case", link("DOC://secret/1")],
  ["dot segments", link("doc://open/../../secret/1")],
  [
    "an escaped embedded resource",
    '{"type":"resourc\\u0065","resourc\\u0065":{"ur\\u0069":"doc://secret/1","text":"inside"}}',
  ],
  [
    "space everywhere",
    '{ "type" : "resource" ,\n\t"resource" : { "uri" : "doc://secret/1", "text":"inside" } }',
  ],
  ["no URI at all", link("secret")],
])("a hidden resource written with %s stays hidden", async (_, block) => {
  const body = await answered(`{"content":[${block},{"type":"text","text":"after"}]}`);
  expect(said(body)).toEqual([{ type: "text", text: "after" }]);
  const escaped = await answered(`{"c\\u006fntent":[${block}]}`);
  expect(said(escaped)).toEqual([]);
});

test.each<[string, string]>([
  ["twice the same key", '{"content":[{"type":"resource_link","type":"text","uri":"doc://secret/1"}]}'],
  ["twice the content", '{"content":[],"content":[{"type":"resource_link","uri":"doc://secret/1"}]}'],
])("a result with %s is refused, and its outcome is in the log", async (_, result) => {
  const body = await answered(result);
  expect(body.error?.data.code).toBe("upstream_protocol");
  expect(await outcome()).toMatchObject({ status: "upstream_protocol", is_error: true });
});

test("a prompt's messages are filtered as a tool's result is; a message that loses its content says so", async () => {
  const message = (content: string) => `{"role":"user","content":${content},"extra":[1]}`;
  told = `{"description":"d","messages":[${[text, link("doc://open/1"), embedded("doc://secret/1"), `[${embedded("doc://secret/1")},${text}]`].map(message).join(", ")}]}`;
  const { body } = await asked("prompts/get", { name: "brief" });
  const messages = body.result?.messages as { content: JsonObject }[];
  expect(
    messages.map(({ content }) => (Array.isArray(content) ? content.length : (content.uri ?? content.text))),
  ).toEqual(["resource_link to doc://secret/1", "doc://open/1", "[left out by policy]", 1]);
});

test("what a read brings along is filtered as well", async () => {
  told = `{"contents":[{"uri":"doc://open/1","text":"a"},{"uri":"doc://secret/1","text":"b"},{"uri":"doc://open/2","blob":"Yw=="}]}`;
  const { body } = await asked("resources/read", { uri: "doc://open/1" });
  expect(uris(body.result?.contents as JsonObject[])).toEqual(["doc://open/1", "doc://open/2"]);
});

test("a tool does not name a view that its caller cannot read", async () => {
  const { body, text: raw } = await asked("tools/list", {});
  const tools = body.result?.tools as JsonObject[];
  expect(tools.map(({ _meta }) => _meta)).toEqual([
    { ui: { visibility: ["model"] } },
    undefined,
    { kept: 9007199254740992 },
  ]);
  expect(raw).toContain("9007199254740993");
});

test("lists show what a read would be given, and nothing of the rest", async () => {
  const { body } = await asked("resources/list", {}, "both");
  expect(uris(body.result?.resources as JsonObject[])).toEqual([
    "legacy+doc://open/1",
    "modern+doc://open/1",
  ]);
  expect((await world.decisions()).at(-1)).toMatchObject({ listed: 2, of: 6 });
});

test("subscribing is decided as reading is, and once for a resource however it is written", async () => {
  const subscribe = async (uri: string, server = "legacy") =>
    (await asked("resources/subscribe", { uri }, server, "legacy")).body.error?.data.code ?? "ok";
  const before = legacy.of("resources/subscribe").length;
  expect(await subscribe("DOC://open/%31")).toBe("ok");
  expect(await subscribe("doc://open/1")).toBe("ok");
  expect(
    legacy
      .of("resources/subscribe")
      .slice(before)
      .map(({ params }) => params.uri),
  ).toEqual(["doc://open/1", "doc://open/1"]);
  for (const uri of ["doc://secret/1", "doc://closed/1", "nowhere://x", "x", "page://77"])
    expect(await subscribe(uri)).toBe(uri === "page://77" ? "argument_out_of_bounds" : "not_found");
  expect(legacy.of("resources/subscribe").length).toBe(before + 2);
  const codes: string[] = [];
  for (let n = 2; n < 110; n += 1) codes.push(await subscribe(`doc://open/${n}`, "modern"));
  const first = codes.indexOf("too_many_subscriptions");
  expect(first).toBeGreaterThan(50);
  expect(await outcome()).toMatchObject({ status: "too_many_subscriptions" });
  await asked("resources/unsubscribe", { uri: "DOC://open/%32" }, "modern", "legacy");
  expect(await subscribe("doc://open/110", "modern")).toBe("ok");
});

test("after a change of policy every door follows", async () => {
  const main = RULES.replace("[0-9]", "[0-4]").replace('"doc://open/"', '"doc://open/2"');
  const revision = () => world.gateway.status().policies.platform.revision;
  const before = revision();
  await writeIn(world.directory, "policies/main.rego", main);
  await until("the new policies", () => revision() !== before);
  const body = await answered(
    `{"content":[${link("doc://open/1")},${link("doc://open/2")},${embedded("doc://open/1")},${link("page://7")},${link("page://3")}]}`,
  );
  expect(uris(said(body))).toEqual(["doc://open/2", "page://3"]);
  const { body: list } = await asked("resources/list", {});
  expect(list.result?.resources).toEqual([]);
  await writeIn(world.directory, "policies/main.rego", RULES);
  await until("the old policies", () => revision() === before);
});

test("deep and large results are filtered whole, and quickly", async () => {
  const nest = (depth: number) => `${"[".repeat(depth)}${"]".repeat(depth)}`;
  const deep = nest(9_000);
  const many = Array.from({ length: 5000 }, (_, n) => link(`doc://open/${n}`));
  const large = `{"type":"text","text":"${"x".repeat(2 << 20)}"}`;
  const cost = cpuClock();
  const body = await answered(
    `{"content":[${large},${many.join(",")},${link("doc://secret/1")}],"structuredContent":{"deep":${deep}}}`,
  );
  // Past a thousand URIs nothing is decided about, so it is not shown.
  expect(said(body)).toHaveLength(1001);
  expect(cost()).toBeLessThan(3000);
  expect((await outcome()).withheld).toBe(4001);
  const nested = await answered(
    `{"content":[{"type":"resource","resource":${deep}},{"type":"x","resource_link":${deep}}]}`,
  );
  expect(said(nested)).toHaveLength(2);
  const deeper = await answered(`{"content":[],"structuredContent":{"deep":${nest(20_000)}}}`);
  expect(deeper.error?.data.code).toBe("upstream_protocol");
});

test("a server with many templates and long URIs cannot hold up the others", async () => {
  const { answers } = modern;
  const templates = Array.from({ length: 256 }, (_, n) => ({
    uriTemplate: `page://{+a}{?b${n},c}`,
    name: `t${n}`,
  }));
  modern.answers = {
    ...answers,
    ...listing({ templates }),
    "tools/list": answers["tools/list"] ?? (() => "{}"),
  };
  await world.gateway.approve("modern", "nothing");
  const cost = cpuClock();
  const many = Array.from({ length: 500 }, (_, n) => embedded(`page://${n}/${"a".repeat(2000)}`));
  expect(said(await answered(`{"content":[${many.join(",")}]}`, "modern"))).toEqual([]);
  expect(
    (await asked("resources/read", { uri: `page://${"a".repeat(2000)}` }, "modern")).body.error?.data.code,
  ).toBe("not_found");
  expect(cost()).toBeLessThan(2000);
  modern.answers = answers;
  await world.gateway.approve("modern", "nothing");
});

test("reads and their like stand in the log with what they were decided on", async () => {
  told = '{"contents":[]}';
  await asked("resources/read", { uri: "doc://open/1" });
  await asked("resources/read", { uri: "page://7" });
  await asked("resources/read", { uri: "page://77" });
  await asked("resources/subscribe", { uri: "doc://open/1" }, "legacy", "legacy");
  const wanted = [
    ["resources/read", "resource", "doc://open/1", {}, "doc://open/1", "ok"],
    ["resources/read", "template", "page://{n}", { n: "7" }, "page://7", "ok"],
    ["resources/read", "template", "page://{n}", { n: "77" }, "page://77", "argument_out_of_bounds"],
    ["resources/subscribe", "resource", "doc://open/1", {}, "doc://open/1", "ok"],
  ];
  const found = [];
  for await (const { record, target, tenant } of readDecided(join(world.directory, "log"))) {
    if (!/^resources\/(read|subscribe)$/.test(record.method)) continue;
    expect(tenant).toMatchObject({ id: "acme" });
    if (record.target?.upstream !== "")
      expect(target).toMatchObject({ upstream: record.target?.upstream, name: record.target?.name });
    found.push([
      record.method,
      record.target?.kind,
      record.target?.name,
      record.arguments,
      record.named,
      record.code,
    ]);
  }
  expect(found.slice(-4)).toEqual(wanted);
});
