import { afterAll, beforeAll, expect, test } from "vitest";
import type { Era } from "../../src/domain.ts";
import type { JsonObject } from "../../src/lib/json.ts";
import { type Shelf, serveShelf } from "./shelf.ts";
import { ask, OPEN, openSession, openWorld, type World } from "./world.ts";

/** What no parser of ours would give back as it was: order, space, numbers, unknown members, escapes, repeated values. */
const ODD =
  '"x-new":{"b":1.0,"a":12345678901234567890,"z":[1e2, -0, "\\u00e9\\/"]},"icons":[{"src":"https://x.example/i.svg","sizes":["any"],"theme":"dark"}],"_meta":{"v.example/k":{"n":9007199254740993}}';
const ANNOTATIONS = '"annotations":{"audience":["user"],"priority":0.10,"x-more":1e0}';

const TOOL = `{"name":"move","title":"Move","inputSchema":{"type":"object","properties":{"region":{"type":"string","x-mcp-header":"Region"},"n":{"type":"integer"}}},"outputSchema":{"type":"object","x":1.0},${ANNOTATIONS},"execution":{"taskSupport":"forbidden"},${ODD}}`;
const RESOURCE = `{"uri":"doc://1","name":"one","size":12345678901234567890,${ANNOTATIONS},${ODD}}`;
const TEMPLATE = `{"uriTemplate":"doc://{id}","name":"all",${ANNOTATIONS},${ODD}}`;
const PROMPT = `{"name":"brief","arguments":[{"name":"who","required":true,"x":1.0}],${ODD}}`;
const CALLED = `{ "content" : [{"type":"text","text":"\\u2028 a\\/b",${ANNOTATIONS},${ODD}},{"type":"new-kind","data":{"n":1.50}}],\t"structuredContent":{"n":12345678901234567890,"f":1.0},"isError" :false,${ODD}}`;
const GOT = `{"messages":[ {"role":"user","content":{"type":"text","text":"hi"},"x":1.0} ],"description":"d",${ODD}}`;
const READ = `{"contents":[{"uri":"doc://1","text":"t","n":1.0 }],${ODD}}`;

const ERAS = ["legacy", "modern"] as const;
const shelves = {} as Record<Era, Shelf>;
let world: World;

beforeAll(async () => {
  for (const era of ERAS)
    shelves[era] = await serveShelf(
      { era, name: era },
      {
        "tools/list": () => `{"tools":[${TOOL}]}`,
        "resources/list": () => `{"resources":[${RESOURCE}]}`,
        "resources/templates/list": () => `{"resourceTemplates":[${TEMPLATE}]}`,
        "prompts/list": () => `{"prompts":[${PROMPT}]}`,
        "tools/call": () => CALLED,
        "prompts/get": () => GOT,
        "resources/read": () => READ,
      },
    );
  world = await openWorld({
    config: {
      upstreams: { legacy: { url: shelves.legacy.url }, modern: { url: shelves.modern.url } },
      servers: { legacy: { upstreams: ["legacy"] }, modern: { upstreams: ["modern"] } },
    },
    policies: OPEN,
  });
});
afterAll(async () => {
  await world.close();
  for (const shelf of Object.values(shelves)) await shelf.close();
});

async function asked(
  client: Era,
  server: Era,
  method: string,
  params: JsonObject = {},
  headers: Record<string, string> = {},
) {
  const token = await world.token("ann", server);
  const session = client === "legacy" ? { session: await openSession(world.url(server), token) } : {};
  const name = params.name ?? params.uri;
  const named: Record<string, string> =
    client === "modern" && typeof name === "string" ? { "mcp-name": name } : {};
  return ask(world.url(server), method, params, {
    token,
    era: client,
    ...session,
    headers: { ...named, ...headers },
  });
}

const CELLS = ERAS.flatMap((client) => ERAS.map((server) => [client, server] as const));

test.each(CELLS)("definitions reach a %s client from a %s server byte for byte", async (client, server) => {
  for (const [method, text] of [
    ["tools/list", TOOL],
    ["resources/list", RESOURCE],
    ["resources/templates/list", TEMPLATE],
    ["prompts/list", PROMPT],
  ] as const)
    expect((await asked(client, server, method)).text).toContain(`[${text}]`);
});

const REQUESTS = [
  ["tools/call", { name: "move", arguments: { region: "eu", n: 1 } }, { "mcp-param-region": "eu" }, CALLED],
  ["prompts/get", { name: "brief", arguments: { who: "x" } }, {}, GOT],
  ["resources/read", { uri: "doc://1" }, {}, READ],
] as const;

test.each(CELLS)("results reach a %s client from a %s server byte for byte", async (client, server) => {
  for (const [method, params, headers, result] of REQUESTS) {
    const { text } = await asked(client, server, method, params, headers);
    // A result that changes its era, or says how long it may be kept, has other members at its top; their values stay.
    const whole = client === server && (client === "legacy" || method !== "resources/read");
    const wanted = whole && client === "legacy" ? [result] : membersIn(result);
    for (const part of wanted) expect(text).toContain(part);
  }
});

/** The values of its members, each as it is written. */
function membersIn(result: string): readonly string[] {
  return [
    ODD.slice(0, ODD.indexOf(',"icons"')),
    ODD.slice(ODD.indexOf('"icons"'), ODD.indexOf(',"_meta"')),
    '"v.example/k":{"n":9007199254740993}',
  ].concat(
    result === CALLED
      ? [CALLED.slice(CALLED.indexOf("[{"), CALLED.indexOf("],\t") + 1), '{"n":12345678901234567890,"f":1.0}']
      : [],
    result === GOT ? ['[ {"role":"user","content":{"type":"text","text":"hi"},"x":1.0} ]'] : [],
    result === READ ? ['[{"uri":"doc://1","text":"t","n":1.0 }]'] : [],
  );
}

const TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

test.each(CELLS)(
  "what a %s client says in _meta and beside its params reaches a %s server",
  async (client, server) => {
    const _meta = { traceparent: TRACE, tracestate: "a=1", baggage: "k=v", "c.example/x": [1, { y: null }] };
    const params = { name: "brief", arguments: { who: "x" }, "x-new": { kept: true }, _meta };
    await asked(client, server, "prompts/get", params, { traceparent: TRACE });
    const arrival = shelves[server].of("prompts/get").at(-1);
    expect(arrival?.params).toMatchObject(params);
    expect(arrival?.headers.traceparent).toBe(TRACE);
    expect((await world.decisions()).at(-1)?.trace_id).toBe(TRACE.slice(3, 35));
  },
);

test("a modern server is told by headers what is asked for, and hears no header that nobody decided about", async () => {
  const odd = {
    traceparent: "no trace",
    "mcp-param-other": "x",
    "mcp-param-n": "1",
    "x-forwarded-user": "root",
    "mcp-method": "tools/call",
  };
  await asked(
    "modern",
    "modern",
    "tools/call",
    { name: "move", arguments: { region: "é", n: 1 } },
    {
      ...odd,
      "mcp-param-region": `=?base64?${Buffer.from("é").toString("base64")}?=`,
    },
  );
  const { headers = {} } = shelves.modern.of("tools/call").at(-1) ?? {};
  expect(headers["mcp-name"]).toBe("move");
  expect(headers["mcp-param-region"]).toBe(`=?base64?${Buffer.from("é").toString("base64")}?=`);
  expect(
    Object.keys(headers).filter((name) =>
      /^(mcp-param-(?!region)|x-forwarded|authorization|traceparent)/.test(name),
    ),
  ).toEqual([]);
  await asked("modern", "modern", "resources/read", { uri: "doc://%61" });
  expect(shelves.modern.of("resources/read").at(-1)?.headers["mcp-name"]).toBe("doc://a");
});

test("a request whose headers contradict its body never gets there", async () => {
  for (const headers of [{ "mcp-param-region": "us" }, { "mcp-name": "other" }, {}]) {
    const before = shelves.modern.of("tools/call").length;
    const { status, body } = await asked(
      "modern",
      "modern",
      "tools/call",
      { name: "move", arguments: { region: "eu" } },
      headers as Record<string, string>,
    );
    expect([status, body.error?.code]).toEqual([400, -32020]);
    expect(shelves.modern.of("tools/call").length).toBe(before);
  }
});
