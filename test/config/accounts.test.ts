import { expect, test } from "vitest";
import { parseConfig } from "../../src/config/config.ts";
import { resolveSecrets, secretsIn } from "../../src/config/secret.ts";
import { MINIMAL, problemsOf } from "./support.ts";

const ACCOUNTS = `accounts:
  master_key: env:MASTER
  sign_in: [{issuer: "https://idp.example", client_id: portcullis}]
  providers:
    hub: {issuer: "https://hub.example", client_id: gw, client_secret: env:HUB, scopes: [read]}
credentials:
  mine: {type: connected-account, account: hub, upstreams: [crm]}
  swap: {type: token-exchange, issuer: "https://idp.example", client_id: gw, private_key: file:key.pem, upstreams: [crm]}
`;

test("connected accounts and an identity provider's sources are accepted, with their defaults", () => {
  const parsed = parseConfig(MINIMAL + ACCOUNTS, "/etc/portcullis/portcullis.yaml");
  expect(parsed).toMatchObject({
    ok: true,
    config: {
      accounts: { sign_in: [{ scopes: ["openid", "profile"] }], providers: { hub: { parameters: {} } } },
      credentials: { mine: { ttl: 300 }, swap: { scopes: [], roles: {}, ttl: 300 } },
    },
  });
});

test.each([
  [
    "an account that is nowhere",
    "account: hub",
    "account: hob",
    /there is no account "hob" \(did you mean "hub"\?\)/,
  ],
  [
    "a sign-in at an issuer of no tokens",
    `sign_in: [{issuer: "https://idp`,
    `sign_in: [{issuer: "https://xyz`,
    /there is no issuer/,
  ],
  ["no sign-in at all", /\n {2}sign_in.*/, "", /"sign_in" is missing/],
  [
    "a sign-in without an ID token",
    "client_id: portcullis}",
    "client_id: portcullis, scopes: [profile]}",
    /without openid/,
  ],
  ["a provider over plain http", "https://hub", "http://hub", /must be https/],
  ["a provider that cannot be found", /issuer: "https:\/\/hub.example", /, "", /name the issuer/],
  ["a secret written out", "client_secret: env:HUB", "client_secret: hunter2", /env:NAME or file:PATH/],
  [
    "two proofs",
    "client_secret: env:HUB",
    "client_secret: env:HUB, private_key: env:KEY",
    /either client_secret or private_key/,
  ],
  [
    "half of the endpoints",
    "client_id: gw, client_secret",
    'token_endpoint: "https://hub.example/t", client_id: gw, client_secret',
    /both endpoints/,
  ],
  ["no master key", /\n {2}master_key.*/, "", /"master_key"/],
])("%s is refused", (_, before, after, problem) => {
  const text = (MINIMAL + ACCOUNTS).replace(before, after);
  expect(text).not.toBe(MINIMAL + ACCOUNTS);
  expect(problemsOf(text).join("\n")).toMatch(problem);
});

test("references in a part of the configuration are found, and become secrets", async () => {
  const parsed = parseConfig(MINIMAL + ACCOUNTS, "/etc/portcullis/portcullis.yaml");
  if (!parsed.ok) throw new Error("refused");
  const { accounts, credentials } = parsed.config;
  expect(secretsIn({ accounts, credentials }).map(({ path }) => path.join("."))).toEqual([
    "accounts.master_key",
    "accounts.providers.hub.client_secret",
    "credentials.swap.private_key",
  ]);
  const store = {
    env: { MASTER: "m", HUB: "hunter2" },
    readFile: async (path: string) => `pem of ${path}\n`,
  };
  const resolved = await resolveSecrets({ accounts, credentials }, store);
  expect(resolved.accounts?.providers.hub?.client_secret?.reveal()).toBe("hunter2");
  expect(resolved.credentials.swap).toMatchObject({ client_id: "gw", scopes: [] });
  expect(JSON.stringify(resolved)).not.toContain("hunter2");
  await expect(resolveSecrets(accounts, { ...store, env: {} })).rejects.toMatchObject({ code: "internal" });
});
