import fc from "fast-check";
import { expect, test } from "vitest";
import { readUri } from "../../src/lib/uri.ts";
import { cpuClock } from "../support/cpu.ts";

const canonical = (text: string) => {
  const read = readUri(text);
  return read.ok ? read.uri : `refused: ${read.reason}`;
};

test.each([
  ["FILE:///a", "file:///a"],
  ["http://API.Example.com:80", "http://api.example.com/"],
  ["https://api.example.com:443/A", "https://api.example.com/A"],
  ["file://LocalHost/etc/hosts", "file:///etc/hosts"],
  ["file:///a/./b/../c", "file:///a/c"],
  ["file:///a/b/..", "file:///a/"],
  ["file:///../../etc", "file:///etc"],
  ["file:///%7euser/%2e%2e/x%2fy", "file:///x%2Fy"],
  ["file:///pub/%2e%2e/%2E%2E/etc", "file:///etc"],
  ["file:///app/[id].tsx", "file:///app/%5Bid%5D.tsx"],
  ["note://grüße", "note://gr%C3%BC%C3%9Fe"],
  ["note://ACME-1/Straße%20x", "note://ACME-1/Stra%C3%9Fe%20x"],
  ["urn:isbn:0451450523", "urn:isbn:0451450523"],
  ["test://static/resource/1", "test://static/resource/1"],
  ["x://[::1]:80/?q=a/b#c", "x://[::1]:80/?q=a/b#c"],
  ["fetch://https://x.example/a", "fetch://https://x.example/a"],
])("%s is %s", (text, uri) => {
  expect(canonical(text)).toBe(uri);
});

test.each([
  ["notes/1", "no absolute URI"],
  ["//host/x", "no absolute URI"],
  ["/x", "no absolute URI"],
  ["", "no absolute URI"],
  ["1x:a", "no absolute URI"],
  ["x:\ud800", "no absolute URI"],
  ["x:a\nb", "control character"],
  ["x:a\u0085b", "control character"],
  ["x:a b", "no URI may hold"],
  ["x:a\\b", "no URI may hold"],
  ["x:{a}", "no URI may hold"],
  ["x:%zz", "no URI may hold"],
  ["x:a#b#c", "no URI may hold"],
  ["http://user:secret@host/", "user information"],
  ["http://host:80a/", "host or port"],
  ["file:///a%00.txt", "UTF-8, or holds NUL"],
  ["file:///%c0%ae%c0%ae/etc", "UTF-8, or holds NUL"],
  ["file:///pub/..%2f..%2fetc", "dot segments"],
  ["file:///pub/%2e%2e%2f%2e%2e%2fetc", "dot segments"],
  ["file:///pub/%2e%2e%5cetc", "dot segments"],
  ["file:///pub/%252e%252e/etc", "dot segments"],
  ["file:///pub/%252e%252e%252fetc", "dot segments"],
  ["file:///pub/%25252e%25252e%25252fetc", "dot segments"],
  ["file:///pub?/../../etc", "dot segments"],
  ["mem:a/../b", "dot segments"],
  ["mem:/a/..//b", "dot segments"],
  [`x:${"a".repeat(2048)}`, "longer than"],
  [`x:${"ü".repeat(1000)}`, "longer than"],
])("refused %#: %j", (text, reason) => {
  expect(canonical(text)).toContain("refused: ");
  expect(canonical(text)).toContain(reason);
});

test("a canonical URI is its own canonical spelling", () => {
  const piece = fc.constantFrom(
    "a",
    "B",
    "/",
    "//",
    "..",
    ".",
    "%2e",
    "%2F",
    "%25",
    "%41",
    "?",
    "#",
    ":",
    "ü",
    "[",
  );
  const text = fc.tuple(
    fc.constantFrom("x:", "x://", "FILE://", "http://Host", "https://h:443"),
    fc.array(piece, { maxLength: 12 }),
  );
  fc.assert(
    fc.property(text, ([start, pieces]) => {
      const read = readUri(start + pieces.join(""));
      if (read.ok) expect(readUri(read.uri)).toEqual(read);
    }),
    { numRuns: 2000 },
  );
});

test("endless encoding costs no time", () => {
  const cost = cpuClock();
  expect(readUri(`x:/${"%"}${"25".repeat(1000)}`).ok).toBe(true);
  expect(readUri(`x:/${"a/../".repeat(400)}`).ok).toBe(true);
  expect(cost()).toBeLessThan(500);
});
