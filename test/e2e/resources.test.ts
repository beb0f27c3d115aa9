import { McpServer, ResourceTemplate } from "@modelcontextprotocol/server";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { JsonObject } from "../../src/lib/json.ts";
import { type Served, serveEverything } from "../upstream/servers.ts";
import { listing, type Shelf, serveShelf } from "./shelf.ts";
import { FULL_CLIENTS, type FullClient, fullV1, fullV2 } from "./stock.ts";
import { serveSdk } from "./upstreams.ts";
import { ask, OPEN, openSession, openWorld, type World } from "./world.ts";

let everything: Served;
let modern: Served;
let shelf: Shelf;
let other: Shelf;
let open: World;
let guarded: World;
/** The upstreams themselves, without the gateway. */
const direct: Record<string, FullClient> = {};

beforeAll(async () => {
  [everything, modern, shelf, other] = await Promise.all([
    serveEverything(),
    serveModernDocs(),
    serveShelf({ name: "shelf" }, docs()),
    serveShelf({ name: "other", era: "modern" }, docs()),
  ]);
  const upstreams = { everything: { url: everything.url }, modern: { url: modern.url } };
  open = await openWorld({
    config: {
      upstreams,
      servers: {
        everything: { upstreams: ["everything"] },
        modern: { upstreams: ["modern"] },
        both: { upstreams: ["everything", "modern"] },
      },
    },
    policies: OPEN,
  });
  guarded = await openWorld({
    config: {
      upstreams: {
        shelf: {
          url: shelf.url,
          era: "legacy",
          resources: {
            "doc://a/2": { labels: ["secret"] },
            "file:///unlisted/secret": { labels: ["secret"] },
          },
        },
        other: { url: other.url },
      },
      servers: { one: { upstreams: ["shelf"] }, two: { upstreams: ["shelf", "other"] } },
      credentials: {
        a: { type: "none", upstreams: ["shelf", "other"] },
        b: { type: "none", upstreams: ["shelf"] },
      },
      tenants: {
        acme: { record: {}, servers: ["one", "two"], credentials: { a: {}, b: {} } },
        globex: { record: {}, servers: ["one", "two"] },
      },
    },
    policies: RULES,
  });
  direct.everything = await fullV1(everything.url);
  direct.modern = await fullV2(modern.url);
});
afterAll(async () => {
  for (const client of Object.values(direct)) await client.close();
  await Promise.all([open.close(), guarded.close()]);
  await Promise.all([everything.close(), modern.close(), shelf.close(), other.close()]);
});
const RULES = `package authz

grant contains {"reason": "support reads"} if {
	"support" in input.principal.roles
	input.target.name in {
		"doc://a/1", "doc://a/2", "doc://a/4444", "doc://a/{id}", "doc://z/{id}", "nor://{tenant}/{page}",
		"note://today", "file:///unlisted/x", "file:///unlisted/secret",
	}
}

grant contains {"reason": "may ask", "interaction": ["elicitation"]} if {
	"support" in input.principal.roles
	input.target.name == "doc://a/5"
}

grant contains {"reason": "any pair"} if input.target.name == "pair://{id}{?any}"

grant contains {"reason": "own pair", "arguments": {"tenant": {"set": "acme"}}} if {
	input.target.name == "pair://{id}{?any,tenant}"
}

grant contains {"reason": "public files", "arguments": {"path": {"pattern": "public(-[a-z]+)?"}}} if {
	"support" in input.principal.roles
	input.target.name == "file:///{path}"
}

grant contains {"reason": "own list", "arguments": {"tenant": {"set": input.principal.tenant}}} if {
	"support" in input.principal.roles
	input.target.upstream == "shelf"
	input.target.name == "list://x{?tenant,page}"
}

grant contains {"reason": "never met", "arguments": {"tenant": {"set": "acme"}}} if {
	input.target.name == "never://{tenant}/{page}"
}

grant contains {"reason": "as a", "credential": {"source": "a"}} if {
	input.target.upstream == "shelf"
	input.target.name == "doc://a/cred"
}

grant contains {"reason": "as b", "credential": {"source": "b"}} if {
	input.target.upstream == "shelf"
	input.target.name == "doc://{box}/cred"
}

limit contains {"arguments": {"id": {"pattern": "[0-9]{1,3}|cred"}}} if input.target.name == "doc://a/{id}"

limit contains {"arguments": {"tenant": {"set": "acme"}}} if input.target.name == "nor://{tenant}/{page}"

deny contains "secret" if "secret" in input.target.labels

deny contains "no box z" if input.target.name == "doc://z/{id}"

deny contains "unannounced" if {
	input.target.kind == "resource"
	startswith(input.target.name, "file:///unlisted/")
}
`;

function docs() {
  return {
    ...listing({
      resources: [
        { uri: "doc://a/1", name: "one", size: 12 },
        { uri: "DOC://a/2", name: "two" },
        { uri: "doc://a/4444", name: "four" },
        { uri: "doc://a/5", name: "five" },
        { uri: "doc://a/cred", name: "cred" },
        { uri: "list://x?tenant=acme&page=9", name: "a page of the list that has a rule of its own" },
      ],
      templates: [
        { uriTemplate: "doc://a/{id}", name: "of a" },
        { uriTemplate: "doc://{box}/cred", name: "cred of a box" },
        { uriTemplate: "doc://z/{id}", name: "of z" },
        { uriTemplate: "file:///{path}", name: "files" },
        { uriTemplate: "list://x{?tenant,page}", name: "list" },
        { uriTemplate: "never://{tenant}/{page}", name: "a variable is set that every URI names" },
        { uriTemplate: "nor://{tenant}/{page}", name: "a limit sets it" },
        { uriTemplate: "pair://{id}{?any}", name: "pair" },
        { uriTemplate: "pair://{id}{?any,tenant}", name: "own pair" },
      ],
    }),
    "resources/read": ({ uri = "" }: JsonObject) =>
      JSON.stringify({ contents: [{ uri, mimeType: "text/plain", text: `read ${uri}` }] }),
  };
}

function serveModernDocs(): Promise<Served> {
  return serveSdk(() => {
    const server = new McpServer({ name: "docs", version: "1" });
    server.registerResource("intro", "doc://intro", { mimeType: "text/plain" }, (uri) => ({
      contents: [{ uri: uri.href, text: "hello", _meta: { "docs.example/page": 1 } }],
    }));
    server.registerResource(
      "page",
      new ResourceTemplate("doc://page/{n}", { list: undefined }),
      { description: "One page" },
      (uri, { n }) => ({ contents: [{ uri: uri.href, text: `page ${n}` }] }),
    );
    return server;
  });
}

const UPSTREAMS = [
  ["everything", "demo://resource/static/document/features.md", "demo://resource/dynamic/text/3"],
  ["modern", "doc://intro", "doc://page/7"],
] as const;
const CELLS = FULL_CLIENTS.flatMap(([client, connect]) =>
  UPSTREAMS.map((upstream) => [client, ...upstream, connect] as const),
);
/** Less the era's own members, and the time that the official server writes into its texts. */
const essence = ({ contents }: JsonObject) =>
  JSON.parse(JSON.stringify(contents).replaceAll(/\d+:\d+:\d+ [AP]M/g, "now"));
const names = (list: unknown, member: string) =>
  (list as JsonObject[]).map((one) => String(one[member])).sort();

test.each(CELLS)(
  "a %s client of %s sees its resources, templates and contents as they are",
  async (_client, upstream, listed, templated, connect) => {
    const client = await connect(open.url(upstream), await open.token("ann", upstream));
    const own = direct[upstream] as FullClient;
    try {
      const inOrder = (list: unknown) =>
        [...(list as JsonObject[])].sort((a, b) => (String(a.name) < String(b.name) ? -1 : 1));
      expect(inOrder((await client.listResources()).resources)).toEqual(
        inOrder((await own.listResources()).resources),
      );
      expect(inOrder((await client.listResourceTemplates()).resourceTemplates)).toEqual(
        inOrder((await own.listResourceTemplates()).resourceTemplates),
      );
      for (const uri of [listed, templated])
        expect(essence(await client.readResource({ uri }))).toEqual(essence(await own.readResource({ uri })));
    } finally {
      await client.close();
    }
  },
);

test.each(FULL_CLIENTS)(
  "a %s client reads what it is shown where several servers stand behind one URL",
  async (_, connect) => {
    const client = await connect(open.url("both"), await open.token("ann", "both"));
    try {
      const { resources } = await client.listResources();
      const uris = names(resources, "uri");
      expect(uris).toContain("modern+doc://intro");
      expect(uris).toContain("everything+demo://resource/static/document/features.md");
      for (const uri of [...uris, "modern+doc://page/7", "everything+demo://resource/dynamic/text/3"]) {
        const { contents } = await client.readResource({ uri });
        // What comes back is named as it was asked for.
        expect(names(contents, "uri")).toEqual([uri]);
      }
      const { resourceTemplates } = await client.listResourceTemplates();
      expect(names(resourceTemplates, "uriTemplate")).toContain("modern+doc://page/{n}");
    } finally {
      await client.close();
    }
  },
);

// ---------------------------------------------------------------- one read, every target

const session: Record<string, string> = {};

async function read(uri: string, server = "one", user = "ann") {
  const token = await guarded.token(user, server);
  session[`${user} ${server}`] ??= await openSession(guarded.url(server), token);
  const sent = { token, era: "legacy", session: session[`${user} ${server}`] ?? "" } as const;
  const before = shelf.seen.length;
  const { body } = await ask(guarded.url(server), "resources/read", { uri }, sent);
  const forwarded = shelf.seen
    .slice(before)
    .flatMap(({ method, params }) => (method === "resources/read" ? [params.uri] : []));
  const decision = (await guarded.decisions()).at(-1);
  return { body, code: body.error?.data.code ?? "ok", forwarded, decision };
}

test("a read is decided under the resource and every template that its URI matches, and the record names them", async () => {
  const { code, forwarded, decision } = await read("doc://a/1");
  expect(code).toBe("ok");
  expect(forwarded).toEqual(["doc://a/1"]);
  expect(decision).toMatchObject({
    target: { upstream: "shelf", kind: "resource", name: "doc://a/1" },
    named: "doc://a/1",
    matched: [{ upstream: "shelf", kind: "template", name: "doc://a/{id}" }],
    arguments: {},
  });
  expect(decision?.matched_sha256).toHaveLength(1);
});

test("one denial hides what several targets match", async () => {
  expect(await read("doc://a/2")).toMatchObject({ code: "not_found", forwarded: [] });
  expect(await read("doc://z/4")).toMatchObject({ code: "not_found", forwarded: [] });
});

test("every match's bounds hold", async () => {
  expect(await read("doc://a/77")).toMatchObject({ code: "ok", forwarded: ["doc://a/77"] });
  expect(await read("doc://a/7777")).toMatchObject({ code: "argument_out_of_bounds", forwarded: [] });
  expect(await read("doc://a/x")).toMatchObject({ code: "argument_out_of_bounds", forwarded: [] });
  // The resource itself allows it, the template does not.
  expect(await read("doc://a/4444")).toMatchObject({ code: "argument_out_of_bounds", forwarded: [] });
});

test("two credentials for one URI are refused: its spelling must not choose", async () => {
  expect(await read("doc://a/cred")).toMatchObject({ code: "ambiguous_grant", forwarded: [] });
  expect(await read("doc://b/cred")).toMatchObject({ code: "ok", forwarded: ["doc://b/cred"] });
});

test("what only one of its targets lets a server ask, it may not ask", async () => {
  const { code, decision } = await read("doc://a/5");
  expect([code, decision?.grant?.interaction]).toEqual(["ok", []]);
});

test("a value that one of its targets sets is not left out because another does not", async () => {
  expect(await read("pair://1?any=2")).toMatchObject({ code: "ambiguous_grant", forwarded: [] });
});

test("what goes upstream is the catalog's spelling, never the caller's", async () => {
  for (const uri of ["DOC://a/1", "doc://a/%31", "doc://a/b/../1", "doc://a/./1"])
    expect(await read(uri)).toMatchObject({
      code: "ok",
      forwarded: ["doc://a/1"],
      decision: { named: "doc://a/1" },
    });
  expect(await read("FILE://LOCALHOST/x/../public")).toMatchObject({
    code: "ok",
    forwarded: ["file:///public"],
  });
});

test("a variable that the grant sets is in the URI that is read, and the caller cannot send it", async () => {
  expect(await read("list://x?page=2")).toMatchObject({
    code: "ok",
    forwarded: ["list://x?tenant=acme&page=2"],
  });
  expect(await read("list://x")).toMatchObject({ code: "ok", forwarded: ["list://x?tenant=acme"] });
  for (const uri of [
    "list://x?tenant=globex",
    "list://x?tenant=acme",
    "list://x?tenant=",
    "list://x?page=2&tenant=globex",
  ])
    expect((await read(uri)).forwarded).toEqual([]);
});

test("a variable that the grant sets leads to no resource that the read was not decided under", async () => {
  expect((await read("list://x?page=8")).forwarded).toEqual(["list://x?tenant=acme&page=8"]);
  // With the variable this would be the URI of a listed resource, which nobody was granted.
  expect(await read("list://x?page=9")).toMatchObject({
    forwarded: [],
    decision: {
      effect: "deny",
      code: "policy_failed",
      reasons: ["the values that the grant sets lead to another target"],
    },
  });
});

test("what is read with a variable that the grant sets goes to its reader, by the name that it was asked by", async () => {
  const { body, forwarded } = await read("LIST://x?page=2");
  expect(forwarded).toEqual(["list://x?tenant=acme&page=2"]);
  expect(body.result).toMatchObject({
    contents: [{ uri: "list://x?page=2", text: "read list://x?tenant=acme&page=2" }],
  });
});

test("a template of which a variable is set that every URI names can never be read, so it is not listed", async () => {
  const token = await guarded.token("ann", "one");
  const { body } = await ask(guarded.url("one"), "resources/templates/list", {}, { token });
  const { resourceTemplates } = body.result as { resourceTemplates: JsonObject[] };
  const listed = resourceTemplates.map(({ uriTemplate }) => uriTemplate);
  for (const one of ["never", "nor"]) expect(listed).not.toContain(`${one}://{tenant}/{page}`);
  for (const uri of ["never://acme/1", "never:///1", "nor://acme/1", "nor:///1"])
    expect(await read(uri)).toMatchObject({ code: "not_found", forwarded: [] });
});

// ---------------------------------------------------------------- other ways to write it

const TRICKS = [
  "file:///secret",
  "file:///public/../secret",
  "file:///public/%2e%2e/secret",
  "file:///public/%2E%2E%2Fsecret",
  "file:///public%2F..%2Fsecret",
  "file:///public%2fsecret",
  "file:///public%252F..%252Fsecret",
  "file:///public%5c..%5csecret",
  "file:///public\\..\\secret",
  "file:///Public",
  "file:///PUBLIC",
  "file:///%70ublic%00",
  "file://user@/public",
  "file://user:pass@localhost/secret",
  "file://evil.example/public",
  "file:////public",
  "file:/public/../secret",
  "file:public",
  "file:///public;x=1",
  "file:///public?path=secret",
  "file:///public#../secret",
  "file:///public\n",
  "file:///public ",
  " file:///public",
  "file:///publi\u0441",
  "file:///./../secret",
  "doc://a/2",
  "DOC://a/2",
  "doc://A/2",
  "doc://a/%32",
  "doc://a/2?x",
  "doc://a/2#x",
  "doc://a/2/",
  "doc://a//2",
  "doc://a/x/../2",
  "doc://a/%2e/2",
  "doc://user@a/2",
  "doc://a:/2",
  "doc://a/0002",
  "one+doc://a/2",
  "shelf+doc://a/2",
  "ui://shelf.a/2",
  "file:///unlisted/secret",
  "file:///unlisted/../unlisted/secret",
  "",
  "x",
  "/etc/passwd",
  `file:///public${"/x".repeat(2000)}`,
];

test.each(TRICKS)("a URI written as %j reaches nothing that a plain read would not", async (uri) => {
  const { code, forwarded, body } = await read(uri);
  for (const sent of forwarded) {
    const plain = decodeURIComponent(decodeURIComponent(String(sent))).toLowerCase();
    expect(plain).not.toMatch(/secret|\.\.|doc:\/\/a\/0*2|\/\/.*@/);
    // What went upstream is what the same read would be, written plainly.
    expect(await read(String(sent))).toMatchObject({ code, forwarded: [sent] });
  }
  if (forwarded.length === 0)
    expect(body.error?.message).toMatch(/no such target|whole pattern|not an argument/);
});

test("unknown and hidden resources get the same answer, in the same time", async () => {
  const hidden = await read("doc://a/2");
  const unknown = await read("nowhere://a/2", "one", "bob");
  expect({ ...hidden.body, id: 0 }).toEqual({ ...unknown.body, id: 0 });
  const token = await guarded.token("ann", "one");
  const times: Record<string, number[]> = { "doc://a/2": [], "doc://z/9": [], "%%%": [] };
  const sent = { token, era: "legacy", session: session["ann one"] ?? "" } as const;
  for (let round = 0; round < 60; round += 1)
    for (const [uri, taken] of Object.entries(times)) {
      const started = performance.now();
      await ask(guarded.url("one"), "resources/read", { uri }, sent);
      taken.push(performance.now() - started);
    }
  const medians = Object.values(times).map((taken) => taken.sort((a, b) => a - b)[30] ?? 0);
  expect(Math.max(...medians) / Math.min(...medians)).toBeLessThan(3);
});

test("a URI that nothing announces is a target of its own, opened and closed by its name", async () => {
  expect(await read("note://today")).toMatchObject({
    code: "ok",
    forwarded: ["note://today"],
    decision: { target: { kind: "resource", name: "note://today" } },
  });
  expect(await read("note://today", "one", "bob")).toMatchObject({ code: "not_found", forwarded: [] });
  expect(await read("file:///unlisted/x")).toMatchObject({ code: "not_found", forwarded: [] });
});

test("with several servers a URI leads to its own server alone", async () => {
  expect((await read("shelf+doc://a/1", "two")).forwarded).toEqual(["doc://a/1"]);
  const before = other.of("resources/read").length;
  const { body, forwarded } = await read("other+doc://a/1", "two");
  expect(forwarded).toEqual([]);
  expect(
    other
      .of("resources/read")
      .slice(before)
      .map(({ params, headers }) => [params.uri, headers["mcp-name"]]),
  ).toEqual([["doc://a/1", "doc://a/1"]]);
  expect(body.result).toMatchObject({ contents: [{ uri: "other+doc://a/1" }] });
  for (const uri of [
    "doc://a/1",
    "shelf+shelf+doc://a/1",
    "nobody+doc://a/1",
    "+doc://a/1",
    "shelf-doc://a/1",
  ])
    expect((await read(uri, "two")).forwarded).toEqual([]);
});

test("lists come in pages, whose cursors are of this list alone", async () => {
  const token = await guarded.token("ann", "one");
  const { body } = await ask(guarded.url("one"), "resources/list", {}, { token });
  const { resources } = body.result as { resources: JsonObject[] };
  const listed = resources.map(({ uri }) => uri);
  // doc://a/2 is denied, doc://a/4444 out of its template's bounds, doc://a/cred can never be read.
  expect(listed).toEqual(["doc://a/1", "doc://a/5"]);
  for (const cursor of ["x", Buffer.from('{"list":"","at":0}').toString("base64url"), "e30"]) {
    const refused = await ask(guarded.url("one"), "resources/list", { cursor }, { token });
    expect(refused.body.error?.data.code).toBe("params_invalid");
  }
});

test("a definition that changed cannot be read until it is approved, nor a URI that only looks like it", async () => {
  const { answers } = shelf;
  const resources = [{ uri: "doc://a/1", name: "one, and more" }];
  shelf.answers = {
    ...docs(),
    ...listing({ resources, templates: [{ uriTemplate: "file:///{path}", name: "changed" }] }),
  };
  const before = guarded.gateway.status().catalog.upstreams.find(({ name }) => name === "shelf")
    ?.quarantined.length;
  expect(before).toBe(0);
  await guarded.gateway.approve("shelf", "nothing");
  for (const uri of ["doc://a/1", "doc://a/1#x", "DOC://A/1", "file:///public"])
    expect(await read(uri)).toMatchObject({ code: "not_found", forwarded: [] });
  shelf.answers = answers;
  await guarded.gateway.approve("shelf", "nothing");
  expect((await read("doc://a/1")).code).toBe("ok");
});
