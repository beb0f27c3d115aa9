import { expect, test } from "vitest";
import { parseConfig } from "../../src/config/config.ts";
import { MINIMAL, problemsOf } from "./support.ts";

const more = (text: string): string[] => problemsOf(MINIMAL + text);
const listening = (text: string): string[] => more(`listen: ${text}\n`);

test("public_url is https unless it is loopback", () => {
  expect(listening('{public_url: "https://mcp.example"}')).toEqual([]);
  expect(listening('{public_url: "http://localhost:8080"}')).toEqual([]);
  expect(listening('{public_url: "http://127.0.0.1.evil.example"}')).toEqual([
    "10:22 insecure public_url must be https: bearer tokens travel over it",
  ]);
  expect(listening("{host: 0.0.0.0}")).toEqual([
    "10:1 invalid_value public_url is needed when listening beyond loopback",
  ]);
});

test("public_url is an origin: no path, user or fragment", () => {
  for (const url of [
    "https://a.example/x",
    "https://u:p@a.example",
    "https://a.example/#x",
    "https://a.example?x",
  ]) {
    expect(listening(`{public_url: "${url}"}`)[0]).toMatch(/^10:22 invalid_value /);
  }
});

test("ports are ports", () => {
  expect(listening("{port: 65536}")).toHaveLength(1);
  expect(listening("{port: -1}")).toHaveLength(1);
  expect(listening("{port: 80.5}")).toHaveLength(1);
  expect(listening('{port: 0, public_url: "https://mcp.example"}')).toEqual([]);
  // Its tokens would be for http://127.0.0.1:0.
  expect(listening("{port: 0}")).toEqual([
    "10:1 invalid_value public_url is needed where the port is any: tokens are bound to it",
  ]);
});

test("an origin is what a browser sends, however it was written", () => {
  const parsed = parseConfig(
    `${MINIMAL}listen: {allowed_origins: ["https://App.example/", "https://b.example:443", "http://c.example:81"]}\n`,
    "portcullis.yaml",
  );
  expect(parsed.ok && parsed.config.listen.allowed_origins).toEqual([
    "https://app.example",
    "https://b.example",
    "http://c.example:81",
  ]);
  expect(listening('{allowed_origins: ["https://a.example/x"]}')).toEqual([
    "10:28 invalid_value write scheme, host and port only",
  ]);
  expect(listening('{allowed_origins: ["*"]}')).toEqual([
    "10:28 invalid_value write an http:// or https:// URL",
  ]);
});

test("an allowed host is what a Host header says", () => {
  expect(listening('{allowed_hosts: ["gateway:8080", "a_b.internal", "[::1]:8080", "10.0.0.1"]}')).toEqual(
    [],
  );
  for (const host of ["http://gateway:8080", "gateway/", "*.example", "gateway:", ""])
    expect(listening(`{allowed_hosts: ["${host}"]}`), host).toEqual([
      "10:26 invalid_value write a host, or host:port, as in a Host header",
    ]);
});

test("upstream names leave no doubt where a tool's name begins", () => {
  for (const name of ["a__b", "a_b", "A", "-a", "a-", "a--b", "ä", "x".repeat(33)]) {
    const text = MINIMAL.replace("  crm: {url", `  ${name}: {url: "http://127.0.0.1:1/mcp"}\n  crm: {url`);
    expect(problemsOf(text)[0], name).toMatch(/^4:3 invalid_value /);
  }
});

test("an upstream twice in one server would make every name collide", () => {
  expect(problemsOf(MINIMAL.replace("[crm]", "[crm, crm]"))).toEqual([
    '6:30 conflict "crm" stands twice: every tool name would collide',
  ]);
});

test("someone must be able to get in, and one issuer has one meaning", () => {
  const lines = MINIMAL.split("\n");
  expect(problemsOf(lines.slice(2).join("\n"))).toEqual([
    '1:1 missing_key "issuers" is missing: nobody could get in',
  ]);
  const twice = [lines[0], lines[1], lines[1], ...lines.slice(2)].join("\n");
  expect(problemsOf(twice)).toEqual(["3:14 conflict this issuer stands twice"]);
  const own = MINIMAL.replace('https://idp.example"', 'http://127.0.0.1:8080/oauth"');
  expect(problemsOf(`${own}authorization_server: {users: {ann: {tenant: acme}}}\n`)).toEqual([
    "2:14 conflict this issuer is the embedded authorization server",
  ]);
});

test("only asymmetric algorithms can be allowed", () => {
  const text = MINIMAL.replace("tenant: {claim", "algorithms: [HS256], tenant: {claim");
  expect(problemsOf(text)[0]).toMatch(/^2:88 invalid_value expected one of ES256/);
});

test("sample users do not leave the machine", () => {
  const server = "authorization_server: {users: {ann: {tenant: acme, roles: [support]}}}\n";
  expect(more(server)).toEqual([]);
  expect(more(`${server}listen: {host: 0.0.0.0, public_url: "http://localhost:8080"}\n`)).toEqual([
    "10:1 insecure the embedded authorization server has sample users: it runs on loopback only (name your own under issuers)",
  ]);
  expect(more(server.replace("acme", "acmee"))).toEqual([
    '10:46 unknown_reference there is no tenant "acmee" (did you mean "acme"?)',
  ]);
});

test("a source gives only the roles it has, to upstreams that exist", () => {
  const credentials =
    "credentials: {crm: {type: signed-jwt, audience: a, roles: [reader], upstreams: [crm]}}\n";
  const given = MINIMAL.replace(
    "servers: [support]}",
    "servers: [support], credentials: {crm: {roles: [reader, admin]}}}",
  );
  expect(problemsOf(given + credentials)).toEqual([
    '9:78 unknown_reference credential source "crm" has no role "admin" (it has reader)',
  ]);
  expect(more(credentials.replace("[crm]", "[cmr]"))).toEqual([
    '10:81 unknown_reference there is no upstream "cmr" (did you mean "crm"?)',
  ]);
});

test("the gateway's own credential goes only where its source may go", () => {
  const text = MINIMAL.replace(
    "crm: {url",
    'other: {url: "http://127.0.0.1:2/mcp"}\n  crm: {credential: c, url',
  );
  expect(problemsOf(`${text}credentials: {c: {type: none, upstreams: [other]}}\n`)).toEqual([
    '5:21 conflict credential source "c" may not be sent to "crm" (add it to credentials.c.upstreams)',
  ]);
});

test("an upstream is either a URL or a command", () => {
  const upstream = (text: string): string[] =>
    problemsOf(MINIMAL.replace('{url: "http://127.0.0.1:9001/mcp"}', text));
  expect(upstream("{}")).toEqual(['4:3 missing_key "url" is missing']);
  expect(upstream("{command: [node, x.js], era: auto}")).toEqual([
    '4:32 conflict "era" does not go with "command"',
  ]);
  expect(upstream('{command: [node, x.js], url: "http://x", labels: []}')).toEqual([
    '4:9 conflict "command" does not go with "url"',
  ]);
  expect(upstream("{command: []}")).toHaveLength(1);
  expect(upstream("{command: node x.js}")).toEqual(["4:18 wrong_type expected a list, found string"]);
  expect(upstream('{url: "ftp://x"}')).toEqual(["4:14 invalid_value write an http:// or https:// URL"]);
  expect(upstream('{url: "http://u:p@x/mcp"}')).toEqual([
    "4:14 invalid_value no user name or password in a URL: it would reach logs",
  ]);
});

test("a secret in an upstream's environment is a reference, never a literal", () => {
  const env = (text: string): string[] =>
    problemsOf(MINIMAL.replace('{url: "http://127.0.0.1:9001/mcp"}', `{command: [x], env: {${text}}}`));
  expect(env("CRM_TOKEN: abc")).toEqual([
    "4:40 secret_literal CRM_TOKEN is a secret: name where it is kept instead (write env:NAME or file:PATH)",
  ]);
  for (const value of ["env:", "env:CRM-TOKEN", "file:", "path:"])
    expect(env(`SETTINGS: "${value}"`), value).toEqual([
      "4:39 invalid_value write env:NAME, file:PATH or path:PATH",
    ]);
  expect(env('CRM_TOKEN: "env:CRM_TOKEN", API_KEY: "file:./key", REGION: eu')).toEqual([]);
});

test("tenant ids cannot leave their folder", () => {
  for (const id of ["../acme", "a/b", "a.b", "A", ".", '""']) {
    expect(problemsOf(MINIMAL.replace("  acme:", `  ${id}:`))[0], id).toMatch(/^9:3 invalid_value /);
  }
});
