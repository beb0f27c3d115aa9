import { expect, test } from "vitest";
import { parseConfig } from "../../src/config/config.ts";

const CONFIG = `
issuers: [{ issuer: https://idp.example, jwks_uri: https://idp.example/keys, tenant: { fixed: acme } }]
upstreams:
  crm: { url: "https://crm.example/mcp" }
  files: { command: [node, files.js] }
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
  ["conflict", `${DYNAMIC}, upstreams: [files]`],
  ["conflict", `${DYNAMIC}, upstreams: [crm], inject: { env: { A: b } }`],
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

test("a Vault over plain http is refused beyond loopback", () => {
  const parsed = parse(`${DYNAMIC}, upstreams: [crm]`, '"http://vault.example:8200"');
  expect(parsed.ok ? [] : parsed.problems.map((one) => one.code)).toEqual(["insecure"]);
  expect(parse(`${DYNAMIC}, upstreams: [crm]`, '"http://127.0.0.1:8200"').ok).toBe(true);
});
