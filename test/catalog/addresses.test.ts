import { expect, test } from "vitest";
import type { CatalogView } from "../../src/catalog/view.ts";
import type { Upstream } from "../../src/domain.ts";
import { cpuClock } from "../support/cpu.ts";
import { catalogOf, fixture, library, page, resource, template } from "./fixture.ts";

async function viewOf(...upstreams: Upstream[]): Promise<CatalogView> {
  const catalog = catalogOf(upstreams);
  await catalog.start();
  catalog.close();
  return catalog.view("support");
}

function matched(view: CatalogView, uri: string) {
  const address = view.resource(uri);
  return address?.matches.map(({ target, arguments: args }) => [target.kind, target.name, args]);
}

test("a URI is decided under its resource and every template that it matches", async () => {
  const view = await viewOf(library("a", ["doc://x/1"], ["doc://x/{id}", "doc://{+path}", "doc://y/{id}"]));
  expect(matched(view, "DOC://x/%31")).toEqual([
    ["resource", "doc://x/1", {}],
    ["template", "doc://x/{id}", { id: "1" }],
    ["template", "doc://{+path}", { path: "x/1" }],
  ]);
  expect(matched(view, "doc://x/2")).toEqual([
    ["template", "doc://x/{id}", { id: "2" }],
    ["template", "doc://{+path}", { path: "x/2" }],
  ]);
});

test("what is forwarded is the upstream's own spelling", async () => {
  const view = await viewOf(library("a", ["HTTP://API.example/%7Ea", "x:ü"], ["HTTP://API.example/by/{id}"]));
  expect(view.resource("http://api.example/~a")?.uri).toBe("HTTP://API.example/%7Ea");
  expect(view.resource("x:%c3%bc")?.uri).toBe("x:ü");
  expect(view.resource("http://API.EXAMPLE:80/by/%7eb")?.uri).toBe("HTTP://API.example/by/~b");
});

test("a URI that nothing lists is a resource of its own, labelled and kept", async () => {
  const catalog = catalogOf([library("a", ["doc://1"])], { labels: (_, kind, name) => [`${kind} ${name}`] });
  await catalog.start();
  const view = catalog.view("support");
  const [first] = view.resource("Doc://2#end")?.matches ?? [];
  expect(first?.target).toMatchObject({
    kind: "resource",
    name: "doc://2#end",
    exposedName: "doc://2#end",
    labels: ["resource doc://2#end"],
    announced: {},
  });
  expect(view.resource("doc://2#end")?.matches[0]?.target).toBe(first?.target);
  expect(view.targets).toHaveLength(1);
  catalog.close();
});

test("a fragment or a query of a listed resource is decided as that resource too", async () => {
  const view = await viewOf(library("a", ["doc://x/1", "doc://x/1?page=2"], ["doc://{+path}{?page}"]));
  const plain = await viewOf(library("a", ["Doc://x/1"]));
  expect(matched(plain, "doc://x/1#top")).toEqual([["resource", "doc://x/1", {}]]);
  expect(matched(view, "doc://x/1?page=3")).toEqual([
    ["resource", "doc://x/1", {}],
    ["template", "doc://{+path}{?page}", { path: "x/1", page: "3" }],
  ]);
  expect(matched(view, "doc://x/1?page=2")?.[0]).toEqual(["resource", "doc://x/1?page=2", {}]);
});

const SECOND_SPELLINGS = [
  "file:///pub/a%2Fb",
  "file:///pub/a%2fb",
  "file:///pub/a%252Fb",
  "file:///pub/..%2Fsecret",
  "file:///pub/%2e%2e%2fsecret",
  "file:///pub/%252e%252e%252fsecret",
  "file:///pub/x%00",
  "file:///pub/x?y",
  "file:///pub/x#y",
  "file:///LISTED",
  "FILE:///Listed",
  "file:///Listed?x",
  "file:///Listed#x",
  "file://localhost/LISTED",
  "file:///pub/%c0%ae%c0%ae",
  "../secret",
  "file:pub",
];

test.each(SECOND_SPELLINGS.slice(0, -1))(
  "%s leads nowhere: an upstream might take it for what is listed",
  async (uri) => {
    const view = await viewOf(library("a", ["file:///listed"], ["file:///pub/{name}"]));
    expect(view.resource(uri)).toBeUndefined();
  },
);

test("dot segments are resolved before anything is matched, and what was matched is forwarded", async () => {
  const view = await viewOf(library("a", ["file:///secret"], ["file:///pub/{name}"]));
  for (const uri of ["file:///pub/../secret", "file:///pub/%2e%2e/secret", "file:///pub/x/%2E./../secret"])
    expect(view.resource(uri)).toMatchObject({
      uri: "file:///secret",
      matches: [{ target: { kind: "resource", name: "file:///secret" } }],
    });
});

test("what is quarantined cannot be read, under no template and as no unannounced resource", async () => {
  const upstream = library("a", ["doc://x/1", "doc://y/1"], ["doc://x/{id}", "doc://{+all}"]);
  const catalog = catalogOf([upstream]);
  await catalog.start();
  upstream.others["resources/list"] = [resource("doc://x/1", ',"title":"new"'), resource("doc://y/1")];
  await catalog.refresh();
  const reads = (uri: string) => matched(catalog.view("support"), uri) !== undefined;
  expect([reads("doc://x/1"), reads("doc://x/%31#a"), reads("doc://x/2"), reads("doc://y/1")]).toEqual([
    false,
    false,
    true,
    true,
  ]);
  upstream.others["resources/templates/list"] = [
    template("doc://x/{id}", ',"title":"new"'),
    template("doc://{+all}"),
  ];
  await catalog.refresh();
  expect([reads("doc://x/2"), reads("doc://x/a%2fb"), reads("doc://y/1")]).toEqual([false, false, true]);
  catalog.close();
});

test("another case of what is quarantined leads nowhere, under no template either", async () => {
  const upstream = library("a", ["doc://x/Plan"], ["doc://x/{id}"]);
  const catalog = catalogOf([upstream]);
  await catalog.start();
  upstream.others["resources/list"] = [resource("doc://x/Plan", ',"title":"new"')];
  await catalog.refresh();
  const view = catalog.view("support");
  expect([view.resource("doc://x/PLAN"), view.resource("doc://x/plan#a")]).toEqual([undefined, undefined]);
  expect(matched(view, "doc://x/other")).toBeDefined();
  catalog.close();
});

test("a resource of which one definition is refused leads nowhere, with a fragment or a query neither", async () => {
  const upstream = library("a", []);
  const nested = `,"_meta":${'{"a":'.repeat(70)}1${"}".repeat(70)}`;
  upstream.others["resources/list"] = [resource("doc://x/1"), resource("doc://x/1", nested)];
  const view = await viewOf(upstream);
  expect(view.of("resource")).toEqual([]);
  for (const uri of ["doc://x/1", "doc://x/1#top", "doc://x/1?page=2"])
    expect(view.resource(uri)).toBeUndefined();
});

test("what a refused template might match is no unannounced resource", async () => {
  const view = await viewOf(library("a", ["doc://ab/listed"], ["doc://ab/{x}{y}"]));
  expect(view.resource("doc://ab/1")).toBeUndefined();
  expect(view.resource("DOC://AB/1")).toBeUndefined();
  expect(view.resource("doc://ab/listed")).toBeDefined();
  expect(view.resource("doc://cd/1")).toBeDefined();
});

test("what a template might match whose exposed name grows too long is no unannounced resource", async () => {
  const start = `doc://ab/${"p".repeat(965)}`;
  const variables = Array.from({ length: 16 }, (_, at) => `/{${String(at).padStart(64, "v")}}`);
  const view = await viewOf(library("docs", [], [start + variables.join("")]), library("b", []));
  expect(view.of("template")).toEqual([]);
  expect(view.resource(`docs+${start}${"/1".repeat(16)}`)).toBeUndefined();
  expect(view.resource(`docs+${start}/1`)?.uri).toBe(`${start}/1`);
});

test("a listed resource that a template could read in several ways is left out, and status says so", async () => {
  const catalog = catalogOf([library("a", ["doc://x/a.b.c", "doc://x/a.b"], ["doc://x/{name}.{ext}"])]);
  await catalog.start();
  expect(
    catalog
      .view("support")
      .of("resource")
      .map(({ name }) => name),
  ).toEqual(["doc://x/a.b"]);
  expect(catalog.view("support").resource("doc://x/a.b.c")).toBeUndefined();
  expect(catalog.status().servers[0]?.leftOut).toEqual([
    {
      upstream: "a",
      kind: "resource",
      name: "doc://x/a.b.c",
      reason: expect.stringContaining("several ways"),
    },
  ]);
});

test("every listed resource can be read by its exposed name", async () => {
  const uris = ["doc://x/1", "FILE:///A%20b", "ui://map/view", "urn:isbn:1", "x:ü", "http://h"];
  for (const view of [
    await viewOf(library("a", uris)),
    await viewOf(library("a", uris), library("3d", uris)),
  ]) {
    expect(view.of("resource").length).toBe(uris.length * view.upstreams.size);
    for (const target of view.of("resource")) {
      const address = view.resource(target.exposedName);
      expect([address?.upstream, address?.matches[0]?.target]).toEqual([target.upstream, target]);
      expect(view.exposeUri(target.upstream, address?.uri ?? "")).toBe(target.exposedName);
    }
  }
});

test("with several upstreams a URI names its upstream, reversibly, and apps keep their scheme", async () => {
  const view = await viewOf(fixture("a", page()), library("b", ["doc://1"]), fixture("3d", page()));
  for (const [upstream, uri, exposed] of [
    ["b", "doc://1", "b+doc://1"],
    ["b", "git+ssh://h/x", "b+git+ssh://h/x"],
    ["b", "ui://map/view", "ui://b.map/view"],
    ["b", "ui:///view", "ui://b./view"],
    ["3d", "doc://1", "x--3d+doc://1"],
    ["3d", "ui://a.b/c", "ui://3d.a.b/c"],
  ] as const) {
    expect(view.exposeUri(upstream, uri)).toBe(exposed);
    expect(view.resource(exposed)).toMatchObject({ upstream, uri });
  }
  expect(matched(view, "B+doc://1")).toEqual([["resource", "doc://1", {}]]);
});

test.each([
  "doc://1",
  "c+doc://1",
  "+doc://1",
  "a b+doc://1",
  "ui://map/view",
  "ui://c.map/view",
  "b+1",
  "b+",
  "",
])("with several upstreams %j leads nowhere", async (uri) => {
  const view = await viewOf(library("a", ["doc://1"]), library("b", ["doc://1"]));
  expect(view.resource(uri)).toBeUndefined();
});

test("what is no URI, of no upstream here, or of one without resources, has no address", async () => {
  const quiet = fixture("quiet", page());
  quiet.identity = { ...quiet.identity, capabilities: { tools: {} } };
  const view = await viewOf(library("a", []), quiet);
  expect(view.exposeUri("a", "relative")).toBeUndefined();
  expect(view.exposeUri("nobody", "doc://1")).toBeUndefined();
  expect(view.exposeUri("a", `doc://${"x".repeat(2042)}`), "too long with its upstream").toBeUndefined();
  expect(view.resource("quiet+doc://1")).toBeUndefined();
  expect(view.resource("a+doc://1")).toBeDefined();
});

test("resources and templates made to be slow hold up nobody", async () => {
  const long = `x://${"a".repeat(2000)}`;
  const templates = Array.from({ length: 256 }, (_, at) => `x://{+a${at}}a{+b}a{+c}a{+d}a{+e}a{+f}`);
  const upstream = library(
    "a",
    Array.from({ length: 1000 }, (_, at) => `${long}${at}`),
    templates,
  );
  const cost = cpuClock();
  const view = await viewOf(upstream);
  expect(view.of("resource")).toEqual([]);
  expect(view.resource(`${long}x`)).toBeUndefined();
  expect(cost()).toBeLessThan(10_000);
});

test("a URI that is long for so many templates leads nowhere, though each of them matches it", async () => {
  const templates = Array.from({ length: 100 }, (_, at) => `x://h/{a${at}}`);
  const view = await viewOf(library("a", [], templates));
  expect(matched(view, `x://h/${"a".repeat(1000)}`)).toHaveLength(100);
  expect(view.resource(`x://h/${"a".repeat(1500)}`)).toBeUndefined();
});
