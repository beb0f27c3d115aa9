import { expect, test } from "vitest";
import { parseConfig } from "../../src/config/config.ts";
import { shortly } from "./support.ts";

const CONFIG = `
issuers: [{ issuer: https://idp.example, jwks_uri: https://idp.example/keys, tenant: { fixed: acme } }]
upstreams:
  crm: { url: "https://crm.example/mcp" }
  files: { command: [node, files.js], isolation: lease }
  shared: { command: [node, files.js] }
  plain: { url: "http://127.0.0.1:9001/mcp" }
servers: { support: { upstreams: [crm, files] } }
policies: { path: ./policies }
tenants: { acme: { record: {}, servers: [support] } }
vaults:
  main:
    address: ADDRESS
    login: { type: jwt, mount: jwt-gw, role: mcp }
    manager: { type: approle, role_id: "env:ROLE", secret_id: "file:./secret-id" }
credentials:
  one: SOURCE
`;
const DYNAMIC = 'type: vault-dynamic, vault: main, path: "database/creds/{tenant}.{role}"';

function parse(source: string, address = '"https://vault.example"') {
  const text = CONFIG.replace("SOURCE", `{ ${source} }`).replace("ADDRESS", address);
  return parseConfig(text, "/portcullis.yaml");
}

const PKI = 'type: vault-pki, vault: main, role: a, uri_san: "spiffe://gw/{tenant}/{subject}"';
const CLIENT = 'issuer: https://idp.example, client_id: gw, client_secret: "env:IDP"';
const A_PROCESS = '"files" is a process: a secret can only reach it in its environment';
const IN_ENV = "write inject: {env: {VARIABLE: field}} alone, and isolation: lease at upstreams.files";
const WITH_URL = "travels in a header: name an upstream with a url, or use a vault's source with inject.env";

test.each([
  ["type: signed-jwt, audience: a, upstreams: [files]", A_PROCESS, `signed-jwt ${WITH_URL}`],
  [`type: token-exchange, ${CLIENT}, upstreams: [files]`, A_PROCESS, `token-exchange ${WITH_URL}`],
  [`type: client-credentials, ${CLIENT}, upstreams: [files]`, A_PROCESS, `client-credentials ${WITH_URL}`],
  ["type: connected-account, account: hub, upstreams: [files]", A_PROCESS, `connected-account ${WITH_URL}`],
  [`${DYNAMIC}, upstreams: [files]`, A_PROCESS, IN_ENV],
  [`${DYNAMIC}, upstreams: [files], inject: { header: x-key, env: { A: password } }`, A_PROCESS, IN_ENV],
  [`${PKI}, upstreams: [files]`, A_PROCESS, IN_ENV],
  [
    `${DYNAMIC}, upstreams: [shared], inject: { env: { A: password } }`,
    'the processes of "shared" are not held apart by lease: others would share the secret',
    "write isolation: lease at upstreams.shared",
  ],
  [
    `${DYNAMIC}, upstreams: [crm], inject: { env: { A: password } }`,
    '"crm" has a url: no environment reaches it',
    "leave inject.env out",
  ],
  [
    `${PKI}, upstreams: [plain]`,
    '"plain" has no TLS, and so no client certificates',
    "write an https:// URL there",
  ],
])("no secret is left behind, check says at its upstream: %s", (source, message, hint) => {
  const parsed = parse(source);
  const [, { length: before = 0 } = ""] = /^(.*upstreams: \[)/.exec(`  one: { ${source} }`) ?? [];
  const place = { code: "conflict", row: 17, col: before + 1 };
  const conflicts = parsed.ok ? [] : parsed.problems.filter(({ code }) => code === "conflict");
  expect(conflicts).toEqual([expect.objectContaining({ ...place, message, hint })]);
});

test.each([
  [`${PKI}, upstreams: [crm]`],
  [`${PKI}, upstreams: [files], inject: { env: { KEY: private_key } }`],
  [`type: none, upstreams: [crm, files, shared]`],
])("what arrives everywhere is accepted: %s", (source) => {
  expect(parse(source)).toMatchObject({ ok: true });
});

test("the gateway's own requests carry a header alone, and no other source can be named for them", () => {
  const text = CONFIG.replace("SOURCE", `{ ${PKI}, upstreams: [crm] }`)
    .replace("ADDRESS", '"https://vault.example"')
    .replace('crm.example/mcp"', 'crm.example/mcp", credential: one');
  const parsed = parseConfig(text, "/portcullis.yaml");
  expect(parsed.ok ? [] : parsed.problems).toEqual([
    expect.objectContaining({ code: "conflict", row: 4, col: 54 }),
  ]);
});

function injectOf(source: string) {
  const parsed = parse(source);
  const one = parsed.ok ? parsed.config.credentials.one : undefined;
  return one !== undefined && "inject" in one ? one.inject : parsed;
}

test.each([
  [`${DYNAMIC}, upstreams: [crm]`, { header: { name: "authorization", scheme: "basic", field: "password" } }],
  [`${DYNAMIC}, upstreams: [files], inject: { env: { PGUSER: username } }`, { env: { PGUSER: "username" } }],
  [
    "type: vault-identity, vault: main, role: a, upstreams: [crm]",
    { header: { name: "authorization", scheme: "bearer", field: "token" } },
  ],
  [
    "type: vault-kv, vault: main, path: a, upstreams: [crm], inject: { header: X-Api-Key, scheme: raw, field: api_key }",
    { header: { name: "x-api-key", scheme: "raw", field: "api_key" } },
  ],
  ['type: vault-pki, vault: main, role: a, uri_san: "spiffe://gw/{tenant}/{subject}", upstreams: [crm]', {}],
])("%s travels as %o", (source, inject) => {
  expect(injectOf(source)).toEqual(inject);
});

test.each([
  ["unknown_reference", `${DYNAMIC.replace("main", "other")}, upstreams: [crm]`],
  ["invalid_value", `${DYNAMIC}, upstreams: [files], inject: { env: {} }`],
  ["insecure", "type: signed-jwt, audience: vault, upstreams: [crm]"],
  ["invalid_value", "type: vault-dynamic, vault: main, path: database/creds/../x, upstreams: [crm]"],
  ["invalid_value", 'type: vault-dynamic, vault: main, path: "database/creds/{user}", upstreams: [crm]'],
  ["invalid_value", 'type: vault-dynamic, vault: main, path: "a?b", upstreams: [crm]'],
  ["invalid_value", `${DYNAMIC}, upstreams: [crm], inject: { header: mcp-session-id }`],
  ["invalid_value", `${DYNAMIC}, upstreams: [crm], inject: { header: Host }`],
])("%s: %s", (code, source) => {
  const parsed = parse(source);
  expect(parsed.ok ? [] : parsed.problems.map((one) => one.code)).toEqual([code]);
});

const TICKETS = "type: vault-dynamic, vault: main, upstreams: [crm]";

function firstProblem(source: string, changes: readonly [string, string][] = []) {
  const text = changes.reduce((config, [from, to]) => config.replace(from, to), CONFIG);
  const parsed = parseConfig(
    text.replace("SOURCE", `{ ${source} }`).replace("ADDRESS", '"https://vault.example"'),
    "/portcullis.yaml",
  );
  return parsed.ok ? "" : parsed.problems.map(shortly).join("\n");
}

test.each([
  ["tenants", "users/{tenant}-{subject}"],
  ["tenants", "users/{tenant}_x"],
  ["tenants", "creds/{tenant}{role}"],
  ["tenants", "creds/{tenant}@{role}"],
  ["tenants", "creds/{subject}.{tenant}"],
  ["users", "creds/{tenant}.{subject}-{role}"],
  ["users", "creds/{tenant}/{subject}{role}"],
  ["users", "creds/{tenant}/{subject}.{subject}"],
])("a path that two %s could fill to one text (%s) is refused where it stands", (whom, path) => {
  const problem = firstProblem(`${TICKETS}, path: "${path}"`);
  expect(problem).toMatch(/^17:68 invalid_value .+ \(write \{.+\)$/);
  expect(problem).toContain(`"${path.slice(path.lastIndexOf("/") + 1)}" could be one text for two ${whom}: `);
});

test.each([
  "database/creds/{tenant}.{role}",
  "tenants/{tenant}/users/{subject}/{role}",
  "{tenant}/x",
  "t-{tenant}.x-{subject}",
])("a path whose parts can be told apart (%s) is taken", (path) => {
  expect(firstProblem(`${TICKETS}, path: "${path}"`)).toBe("");
});

test("the same holds for namespaces and for what a certificate names", () => {
  const namespace = [["  main:", '  main:\n    namespace: "{tenant}-{subject}"']] as [string, string][];
  expect(firstProblem(`${TICKETS}, path: x`, namespace)).toContain("could be one text for two tenants");
  const mesh = 'type: vault-pki, vault: main, role: a, uri_san: "spiffe://gw/{tenant}-{subject}"';
  expect(firstProblem(`${mesh}, upstreams: [crm]`)).toContain("could be one text for two tenants");
});

test("where there are several tenants a user's path names the tenant, or its namespace does", () => {
  const two: [string, string] = ["tenants: {", "tenants: { globex: { record: {}, servers: [support] },"];
  const source = `${TICKETS}, path: "users/{subject}"`;
  expect(firstProblem(source)).toBe("");
  expect(firstProblem(source, [two])).toBe(
    '17:68 insecure "users/{subject}" is the same for a user of two tenants (write {tenant} into it, or into vaults.main.namespace)',
  );
  expect(firstProblem(source, [two, ["  main:", '  main:\n    namespace: "{tenant}"']])).toBe("");
  expect(firstProblem(`${TICKETS}, path: shared/readonly`, [two])).toBe("");
});

test("a Vault over plain http is refused beyond loopback", () => {
  const parsed = parse(`${DYNAMIC}, upstreams: [crm]`, '"http://vault.example:8200"');
  expect(parsed.ok ? [] : parsed.problems.map((one) => one.code)).toEqual(["insecure"]);
  expect(parse(`${DYNAMIC}, upstreams: [crm]`, '"http://127.0.0.1:8200"').ok).toBe(true);
});
