import { expect, test } from "vitest";
import { parseConfig } from "../../src/config/config.ts";
import { cpuClock } from "../support/cpu.ts";
import { MINIMAL, problemsOf, shortly } from "./support.ts";

test("the smallest configuration gets every default", () => {
  const parsed = parseConfig(MINIMAL, "/etc/portcullis/portcullis.yaml");
  if (!parsed.ok) throw new Error(parsed.problems.map(shortly).join("\n"));
  const { listen, limits, audit, pins, state, policies, upstreams, log } = parsed.config;
  expect(listen).toEqual({
    host: "127.0.0.1",
    port: 8080,
    public_url: "http://127.0.0.1:8080",
    allowed_origins: [],
    allowed_hosts: ["127.0.0.1:8080"],
  });
  expect(limits).toMatchObject({ body: 1_048_576, depth: 64, header_ms: 10_000, sessions: 1000 });
  expect(audit).toEqual({ path: "/etc/portcullis/.portcullis/log", segment_bytes: 67_108_864 });
  expect(pins).toEqual({ path: "/etc/portcullis/pins.json" });
  expect(state).toEqual({ path: "/etc/portcullis/.portcullis/state" });
  expect(policies).toEqual({ path: "/etc/portcullis/policies" });
  expect(upstreams.crm).toMatchObject({
    transport: "http",
    era: "auto",
    labels: [],
    targets: {},
    timeout_ms: 60_000,
  });
  expect(log).toEqual({ level: "info" });
});

test("a misspelt key is refused where it stands, with what was meant", () => {
  const text = MINIMAL.replace("crm: {url:", "crm: {lables: [a], url:");
  expect(problemsOf(text)).toEqual(['4:9 unknown_key unknown key "lables" (did you mean "labels"?)']);
  expect(problemsOf(`${MINIMAL}limts: {}\n`)).toEqual([
    '10:1 unknown_key unknown key "limts" (did you mean "limits"?)',
  ]);
});

test("a key of another form of the same is told what it does not go with", () => {
  const claim = MINIMAL.replace("{claim: tenant}", "{claim: tenant, fixed: acme}");
  expect(problemsOf(claim)).toEqual(['2:99 conflict "fixed" does not go with "claim"']);
  const none = `${MINIMAL}credentials: {crm: {type: none, audience: a, upstreams: [crm]}}\n`;
  expect(problemsOf(none)).toEqual(['10:33 conflict "audience" does not go with type none']);
});

test("a key unlike any other is answered with those that are known", () => {
  expect(problemsOf(`${MINIMAL}log: {zzzzzzzzz: 1}\n`)).toEqual([
    '10:7 unknown_key unknown key "zzzzzzzzz" (known here: level)',
  ]);
});

test("all problems are told at once, in the order of the file", () => {
  const text = `
listen: {port: 99999}
issuers: [{issuer: "http://idp.example", jwks_uri: "https://idp.example/keys", tenant: {fixed: acne}}]
upstreams:
  crm: {url: "http://127.0.0.1:9001/mcp", era: modren}
servers:
  support: {upstreams: [crn]}
credentials:
  crm: {type: signed, audience: a, upstreams: [crm]}
policies: {}
tenants:
  acme: {record: 5, servers: [suport], credentials: {crx: {roles: []}}}
limits: {body: 5MB}
`;
  expect(problemsOf(text)).toEqual([
    "2:16 invalid_value too big: expected number to be <=65535",
    "3:20 insecure this URL must be https: who answers it decides who gets in",
    '3:96 unknown_reference there is no tenant "acne" (did you mean "acme"?)',
    '5:48 invalid_value expected one of auto, legacy, modern (did you mean "modern"?)',
    '7:25 unknown_reference there is no upstream "crn" (did you mean "crm"?)',
    "9:15 invalid_value expected one of none, signed-jwt, token-exchange, client-credentials, connected-account, vault-dynamic, vault-identity, vault-kv, vault-pki",
    '10:1 missing_key "path" is missing',
    "12:18 wrong_type expected a string, found number",
    '12:31 unknown_reference there is no virtual server "suport" (did you mean "support"?)',
    '12:54 unknown_reference there is no credential source "crx" (did you mean "crm"?)',
    "13:16 invalid_value write a number of bytes, or such as 64Mi",
  ]);
});

test("wrong types are named as YAML's writer sees them", () => {
  expect(problemsOf(MINIMAL.replace("[crm]", "crm"))).toEqual([
    "6:24 wrong_type expected a list, found string",
  ]);
  expect(problemsOf("- 1\n")).toEqual(["1:1 wrong_type expected a mapping, found a list"]);
  expect(problemsOf("")).toEqual(["1:1 wrong_type expected a mapping, found nothing"]);
});

test("a key that stands twice is refused", () => {
  expect(problemsOf(`${MINIMAL}log: {level: info}\nlog: {level: debug}\n`)).toEqual([
    "11:1 duplicate_key this key stands twice",
  ]);
});

test("syntax errors have a place", () => {
  expect(problemsOf("listen: {port: 1\nservers: x\n")[0]).toMatch(/^2:1 yaml_invalid /);
  expect(problemsOf(`${MINIMAL}---\n${MINIMAL}`)).toEqual([
    "10:1 yaml_invalid a second document begins here, and one is read",
  ]);
});

test("an alias bomb is refused before it unfolds", () => {
  const lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"];
  for (let level = 1; level < 12; level++) {
    lines.push(`a${level}: &a${level} [${Array.from({ length: 9 }, () => `*a${level - 1}`).join(", ")}]`);
  }
  const cost = cpuClock();
  expect(problemsOf(lines.join("\n"))).toEqual(["1:1 yaml_invalid more than 100 aliases"]);
  expect(cost()).toBeLessThan(2000);
});

test("a few aliases are welcome, and problems stand where the anchor is", () => {
  const text = MINIMAL.replace("[crm]}", "&up [crm]}\n  other: {upstreams: *up}");
  expect(problemsOf(text)).toEqual([]);
});

test.each([
  ["[", "nested deeper than 32"],
  ["{a: ", "nested deeper than 32"],
  ["- ", "nested deeper than 32"],
  ["? ", "nested deeper than 32"],
])("nesting of %s is bounded", (open, message) => {
  expect(problemsOf(open.repeat(100_000))).toEqual([`0:0 yaml_invalid ${message}`]);
});

test("__proto__ and numbers that JSON cannot keep are refused, not skipped", () => {
  const text = MINIMAL.replace(
    "{record: {}",
    "{record: {__proto__: {a: 1}, big: 9007199254740993, inf: .inf}",
  );
  expect(problemsOf(text)).toEqual([
    '9:19 invalid_value "__proto__" cannot be a key',
    "9:43 invalid_value this number cannot be kept exactly: quote it",
    "9:66 invalid_value this number cannot be kept exactly: quote it",
  ]);
});

test("an unknown tag is refused", () => {
  expect(problemsOf(`${MINIMAL}log: {level: !!js/function x}\n`)[0]).toMatch(/^10:14 yaml_invalid /);
});
