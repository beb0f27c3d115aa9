import fc from "fast-check";
import { expect, test } from "vitest";
import { readUri } from "../../src/lib/uri.ts";
import { readTemplate, type UriTemplate } from "../../src/lib/uri-template.ts";
import { cpuClock } from "../support/cpu.ts";

function template(text: string): UriTemplate {
  const read = readTemplate(text);
  if (!read.ok) throw new Error(read.reason);
  return read.template;
}

function match(text: string, uri: string) {
  const read = readUri(uri);
  return read.ok ? template(text).match(read.uri) : undefined;
}

test.each([
  ["note://{id}", "note://ACME-1", { id: "ACME-1" }],
  ["note://{id}", "note://a%20b%3F", { id: "a b?" }],
  ["note:///{id}", "note:///2026-11-02T10:00@x", { id: "2026-11-02T10:00@x" }],
  ["repo://{owner}/{name}", "repo://a/b", { owner: "a", name: "b" }],
  ["repo://{owner,name}", "repo://a,b", { owner: "a", name: "b" }],
  ["file:///{+path}", "file:///a/b.txt", { path: "a/b.txt" }],
  ["file://{+path}", "file:///a/[id].tsx", { path: "/a/[id].tsx" }],
  ["file:///{+path}", "file:///what%3F.txt", { path: "what%3F.txt" }],
  ["file:///{+path}{?line}", "file:///a/b?line=3", { path: "a/b", line: "3" }],
  ["file:///{name}.{ext}", "file:///a.txt", { name: "a", ext: "txt" }],
  ["doc://x{/path*}", "doc://x/a/b/c", { path: "a/b/c" }],
  ["doc://x/{path*}", "doc://x/a/b/c", { path: "a/b/c" }],
  ["doc://x{/a,b}", "doc://x/1/2", { a: "1", b: "2" }],
  ["doc://x{.ext}", "doc://x.pdf", { ext: "pdf" }],
  ["doc://x/p{;a,b}", "doc://x/p;b=2", { b: "2" }],
  ["doc://x/p{#part}", "doc://x/p#one/two", { part: "one/two" }],
  ["find://x{?q,page}", "find://x", {}],
  ["find://x{?q,page}", "find://x?page=2", { page: "2" }],
  ["find://x{?q,page}", "find://x?q=&page=2", { q: "", page: "2" }],
  ["find://x{?q,page}", "find://x?q=a%26b%2Fc&page=2", { q: "a&b/c", page: "2" }],
  ["find://x?fix=1{&q}", "find://x?fix=1&q=z", { q: "z" }],
  ["plain://x/y", "plain://x/y", {}],
])("%s reads %s", (text, uri, values) => {
  expect(match(text, uri)).toMatchObject({ exact: true, values });
});

test("what is forwarded has the template's own spelling", () => {
  expect(match("HTTP://API.example/v1/{id}", "http://api.example/v1/%7ea")).toEqual({
    exact: true,
    values: { id: "~a" },
    uri: "HTTP://API.example/v1/~a",
  });
});

test.each([
  ["doc://x/{name}", "doc://x/a/b"],
  ["doc://x/{name}", "doc://y/a"],
  ["doc://x/{name}", "doc://x/"],
  ["doc://x/{name}", "doc://x"],
  ["doc://x/{name}/meta", "doc://x/a"],
])("%s is not %s", (text, uri) => {
  expect(match(text, uri)).toBeUndefined();
});

test.each([
  ["doc://x/{name}", "doc://x/a%2Fb"],
  ["doc://x/{name}", "doc://x/a%252Fb"],
  ["doc://x/{name}", "doc://x/a%25252Fb"],
  ["doc://x/{name}", "doc://x/a?b"],
  ["doc://x/{name}", "doc://x/a#b"],
  ["doc://x/{path*}", "doc://x/a%2Fb"],
  ["doc://x/{+path}", "doc://x/a%2Fb"],
  ["doc://x/{+path}", "doc://x/a%252Fb"],
  ["doc://x/{name}.{ext}", "doc://x/a.b.c"],
  ["doc://x/{+a}/y/{+b}", "doc://x/1/y/2/y/3"],
  ["find://x{?q,page}", "find://x?page=2&q=a"],
  ["find://x{?q,page}", "find://x?q=a&q=b"],
  ["find://x{?q,page}", "find://x?other=1"],
  ["find://x{?q}", "find://x?q=a+b"],
  ["find://x?fix=1{&q}", "find://x?q=z&fix=1"],
])("an upstream might take %s for %s: it is no exact match", (text, uri) => {
  expect(match(text, uri)).toMatchObject({ exact: false });
});

const TRAVERSALS = [
  "../secret",
  "..%2fsecret",
  "..%2Fsecret",
  "%2e%2e/secret",
  "%2e%2e%2fsecret",
  "%2E%2E%2Fsecret",
  ".%2e/secret",
  "%252e%252e%252fsecret",
  "%252e%252e/secret",
  "%25252e%25252e%25252fsecret",
  "..%5csecret",
  "..%255csecret",
  "..\\secret",
  "%c0%ae%c0%ae/secret",
  "%c0%ae%c0%ae%c0%afsecret",
  "%e0%80%ae%e0%80%ae/secret",
  "..%00/secret",
  "..%01/../secret",
  "a/../../secret",
  "./../secret",
  "..?/../../secret",
  "a#/../../secret",
  "%u002e%u002e/secret",
  "..",
  "%2e%2e",
  "%252e%252e",
  ".",
];

test.each(["file:///pub/{name}", "file:///pub/{+path}", "file:///pub/{path*}", "file:///pub{/path*}"])(
  "no spelling of a traversal gets through %s",
  (text) => {
    for (const hostile of TRAVERSALS) {
      const found = match(text, `file:///pub/${hostile}`);
      if (found?.exact !== true) continue;
      // What is left is a plain name below the folder: the dots were resolved before anything was matched.
      const [value = ""] = Object.values(found.values);
      expect(value.split(/[/\\]/)).not.toContain("..");
      expect(new URL(found.uri).pathname).toMatch(/^\/pub\/./);
    }
  },
);

test.each([
  ["{a}", "no absolute URI"],
  ["notes/{a}", "begin with a scheme"],
  ["{scheme}://x", "no absolute URI"],
  ["x://{a}{b}", "side by side"],
  ["x://{a}{+b}", "side by side"],
  ["x://{a:3}", "not supported"],
  ["x://{=a}", "not supported"],
  ["x://{|a}", "not supported"],
  ["x://{}", "not supported"],
  ["x://{a b}", "not supported"],
  ["x://{__proto__}", "not supported"],
  ["x://{?a*}", "names of the values"],
  ["x://{a", "brace"],
  ["x://a}", "brace"],
  ["x://{a}/{a}", "twice"],
  [`x://${Array.from({ length: 17 }, (_, at) => `{a${at}}`).join("/")}`, "more than 16"],
  ["x://a/../{b}", "match its own expansion"],
  ["x://user@host/{a}", "user information"],
  ["x://h/a b/{a}", "no URI may hold"],
  [`x://${"a".repeat(2050)}`, "longer than"],
])("the template %s is refused", (text, reason) => {
  const read = readTemplate(text);
  expect(read).toMatchObject({ ok: false, reason: expect.stringContaining(reason) });
});

/** They are no part of the URI (RFC 3986, section 5.2.4): with them it is another. */
const hasDotSegments = (uri: string) => /\/\.\.?(?:[/?#]|$)/.test(uri);

test("a value with dot segments expands to another URI, which says so: who expands has to compare", () => {
  const one = template("x://h/{+path}");
  for (const [path, read] of [
    ["./ ", " "],
    ["a/../b", "b"],
  ] as const)
    expect(match("x://h/{+path}", one.expand({ path }))).toMatchObject({
      exact: true,
      values: { path: read },
    });
});

test("what a template expands to gives its values back, or nothing: never others", () => {
  const name = fc.constantFrom("a", "b", "c", "d");
  const part = fc.oneof(
    fc.constantFrom("/x/", "-", ".", "/", "?y=1"),
    fc
      .tuple(fc.constantFrom("", "+", "#", ".", "/", ";", "?", "&"), name, fc.constantFrom("", "*"))
      .map(([sign, variable, list]) => `{${sign}${variable}${list}}`),
  );
  const value = fc.oneof(
    fc.string({ minLength: 1, maxLength: 6 }),
    fc.string({ unit: "grapheme", minLength: 1 }),
  );
  const values = fc.record({ a: value, b: value, c: value, d: value });
  let exact = 0;
  fc.assert(
    fc.property(fc.array(part, { maxLength: 6 }), values, (parts, given) => {
      const read = readTemplate(`x://h/${parts.join("")}`);
      if (!read.ok) return;
      const expanded = read.template.expand(given);
      const uri = readUri(expanded);
      if (!uri.ok || hasDotSegments(expanded)) return;
      const found = read.template.match(uri.uri);
      if (found?.exact !== true) return;
      exact += 1;
      const wanted = read.template.variables.map((variable) => [variable.name, given[variable.name as "a"]]);
      for (const [key, text] of wanted) expect(found.values[key as string]).toBe(text);
    }),
    { numRuns: 3000 },
  );
  expect(exact).toBeGreaterThan(300);
});

test("simple values always come back", () => {
  const value = fc.string({ unit: "grapheme", minLength: 1, maxLength: 20 }).filter((text) => {
    const hidden = /[/\\\p{Cc}]|%|^\.{1,2}$/u.test(text);
    return !hidden && !/\p{Cs}/u.test(text);
  });
  const one = template("x://h/{a}/of/{b}{?q}");
  fc.assert(
    fc.property(value, value, value, (a, b, q) => {
      const uri = readUri(one.expand({ a, b, q }));
      expect(uri.ok && one.match(uri.uri)).toMatchObject({ exact: true, values: { a, b, q } });
    }),
  );
});

test("a hostile template costs no time", () => {
  const many = template(`x://${Array.from({ length: 16 }, (_, at) => `a{+v${at}}`).join("")}`);
  const cost = cpuClock();
  expect(many.match(`x://${"a".repeat(2000)}`)).toEqual({ exact: false, values: undefined });
  expect(cost()).toBeLessThan(500);
});
