import { createPublicKey, generateKeyPairSync } from "node:crypto";
import { onTestFinished } from "vitest";
import {
  type CredentialsOptions,
  createCredentials,
  type SourceConfig,
} from "../../src/credential/credentials.ts";
import { createSigner } from "../../src/credential/signer.ts";
import { openVault, type Vault, type VaultConfig } from "../../src/credential/vault/vault.ts";
import type { LeaseEntry } from "../../src/domain.ts";
import { systemClock } from "../../src/lib/clock.ts";
import { silentLog } from "../../src/lib/log.ts";
import { Secret } from "../../src/lib/secret.ts";
import { type OpenBao, startOpenBao } from "../support/openbao.ts";
import { type Postgres, startPostgres } from "../support/postgres.ts";
import { PUBLIC_URL } from "./support.ts";

const ISSUER = "https://idp.example";
const key = generateKeyPairSync("ec", { namedCurve: "P-256" });
const signingKey = new Secret(key.privateKey.export({ type: "pkcs8", format: "pem" }).toString());
const publicKey = createPublicKey(key.privateKey).export({ type: "spki", format: "pem" }).toString();
const MANAGER_POLICY = ["", "tenants/+/"]
  .flatMap((at) => [`${at}sys/leases/renew`, `${at}sys/leases/revoke`, `${at}auth/token/revoke-accessor`])
  .map((path) => `path "${path}" { capabilities = ["update"] }`)
  .join("\n");

/** A real OpenBao before a real PostgreSQL, with two tenants kept apart by templated policies. */
export interface VaultWorld {
  readonly bao: OpenBao;
  readonly postgres: Postgres;
  readonly config: VaultConfig;
  /** Ids of leases that are alive under a prefix. */
  leases(prefix?: string): Promise<readonly string[]>;
  /** How many service tokens are alive: users', and the gateway's own. */
  tokens(): Promise<{ readonly users: number; readonly own: number }>;
  /** Somebody ends every user's token. */
  endUserTokens(): Promise<void>;
  /** Roles in PostgreSQL that Vault made. */
  roles(): Promise<readonly string[]>;
  /** Of them, those that could still log in. */
  usableRoles(): Promise<readonly string[]>;
  close(): Promise<void>;
}

/** @param durable storage in PostgreSQL, so that leases survive a restart */
export async function aVaultWorld({ durable = false, tokenTtl = "2m" } = {}): Promise<VaultWorld> {
  const postgres = await startPostgres();
  await postgres.query("CREATE DATABASE bao");
  const bao = await startOpenBao(durable ? postgres.urlOf("postgres", postgres.password, "bao") : undefined);
  const manager = await setUpManager(bao);
  const accessor = await setUpLogin(bao, { tokenTtl });
  await setUpPolicy(bao, accessor);
  await setUpDatabase(bao, postgres);
  await setUpOthers(bao, accessor);
  await bao.set("sys/config/auditing/request-headers/x-mcp-decision-id", { hmac: false });
  const config: VaultConfig = {
    address: bao.address,
    namespace: "",
    ca: null,
    login: { type: "jwt", mount: "jwt-gw", role: "mcp", audience: "vault" },
    manager: { type: "approle", mount: "approle", namespace: "", ...manager },
    plainIssuer: ISSUER,
    timeoutMs: 3000,
  };
  const list = async (prefix: string): Promise<string[]> => {
    const { status, body } = await bao.ask("LIST", `sys/leases/lookup/${prefix}`);
    if (status === 404) return [];
    const keys: string[] = body.data.keys;
    const found = keys.map((one) => (one.endsWith("/") ? list(prefix + one) : [prefix + one]));
    return (await Promise.all(found)).flat();
  };
  const tokens = async () => {
    const { body } = await bao.ask("LIST", "auth/token/accessors");
    return Promise.all(
      (body.data.keys as string[]).map(async (accessor) => {
        const found = await bao.ask("POST", "auth/token/lookup-accessor", { accessor });
        return { accessor, name: String(found.body?.data?.display_name ?? "") };
      }),
    );
  };
  const isUser = (name: string) => name.startsWith("jwt-gw");
  return {
    bao,
    postgres,
    config,
    leases: (prefix = "database/creds/") => list(prefix),
    tokens: async () => {
      const names = (await tokens()).map(({ name }) => name);
      const [users, own] = [names.filter(isUser), names.filter((name) => name === "approle")];
      return { users: users.length, own: own.length };
    },
    async endUserTokens() {
      for (const { accessor, name } of await tokens())
        if (isUser(name)) await bao.set("auth/token/revoke-accessor", { accessor });
    },
    async close() {
      await bao.close();
      await postgres.close();
    },
    roles: async () =>
      (await postgres.query("SELECT rolname FROM pg_roles WHERE rolname LIKE 'mcp-%'")).map((row) =>
        String(row.rolname),
      ),
    usableRoles: async () =>
      (
        await postgres.query(
          "SELECT rolname FROM pg_roles WHERE rolname LIKE 'mcp-%' AND rolcanlogin AND coalesce(rolvaliduntil, 'infinity') > now()",
        )
      ).map((row) => String(row.rolname)),
  };
}

async function setUpManager(bao: OpenBao) {
  await bao.set("sys/auth/approle", { type: "approle" });
  await bao.set("sys/policies/acl/gateway", { policy: MANAGER_POLICY });
  await bao.set("auth/approle/role/gateway", { token_policies: ["gateway"], token_ttl: "10m" });
  const role = await bao.ask("GET", "auth/approle/role/gateway/role-id");
  const secret = await bao.ask("POST", "auth/approle/role/gateway/secret-id");
  return {
    roleId: async () => new Secret(role.body.data.role_id),
    secretId: async () => new Secret(secret.body.data.secret_id),
  };
}

export const LOGIN_ROLE = {
  role_type: "jwt",
  bound_audiences: ["vault"],
  user_claim: "vault_alias",
  bound_claims_type: "glob",
  bound_claims: { tenant: "*" },
  claim_mappings: { tenant: "tenant", sub: "user" },
  token_policies: ["mcp-user"],
  token_no_default_policy: true,
  token_max_ttl: "1h",
};

export async function setUpLogin(bao: OpenBao, { namespace = "", tokenTtl = "2m" } = {}): Promise<string> {
  await bao.set("sys/auth/jwt-gw", { type: "jwt" }, namespace);
  const validation = { jwt_validation_pubkeys: [publicKey], jwt_supported_algs: ["ES256"] };
  await bao.set("auth/jwt-gw/config", { ...validation, bound_issuer: PUBLIC_URL }, namespace);
  await bao.set("auth/jwt-gw/role/mcp", { ...LOGIN_ROLE, token_ttl: tokenTtl }, namespace);
  const { body } = await bao.ask("GET", "sys/auth", undefined, { "x-vault-namespace": namespace });
  return body.data["jwt-gw/"].accessor;
}

export async function setUpPolicy(bao: OpenBao, accessor: string, namespace = ""): Promise<void> {
  const tenant = `{{identity.entity.aliases.${accessor}.metadata.tenant}}`;
  const user = `{{identity.entity.aliases.${accessor}.metadata.user}}`;
  const policy = `
path "database/creds/${tenant}.*" { capabilities = ["read"] }
path "kv/data/tenants/${tenant}/users/${user}/*" { capabilities = ["read"] }
path "identity/oidc/token/${tenant}.*" { capabilities = ["read"] }
path "pki/issue/${tenant}.*" { capabilities = ["update"] }
path "auth/token/lookup-self" { capabilities = ["read"] }
path "auth/token/renew-self" { capabilities = ["update"] }`;
  await bao.set("sys/policies/acl/mcp-user", { policy }, namespace);
}

async function setUpDatabase(bao: OpenBao, postgres: Postgres): Promise<void> {
  await postgres.query(`CREATE TABLE tickets (id int); CREATE ROLE tool_ro NOLOGIN; GRANT SELECT ON tickets TO tool_ro;
    CREATE ROLE vaultadmin LOGIN CREATEROLE PASSWORD 'only-here'; GRANT pg_signal_backend TO vaultadmin;
    GRANT tool_ro TO vaultadmin WITH ADMIN OPTION`);
  await setUpDatabaseMount(bao, postgres);
}

export async function setUpDatabaseMount(bao: OpenBao, postgres: Postgres, namespace = ""): Promise<void> {
  const config = { default_lease_ttl: "60s", max_lease_ttl: "10m" };
  await bao.set("sys/mounts/database", { type: "database", config }, namespace);
  await bao.set(
    "database/config/pg",
    {
      plugin_name: "postgresql-database-plugin",
      allowed_roles: "*",
      connection_url: `postgresql://{{username}}:{{password}}@127.0.0.1:${postgres.port}/postgres?sslmode=disable`,
      username: "vaultadmin",
      password: "only-here",
      password_authentication: "scram-sha-256",
      username_template:
        '{{ printf "mcp-%s-%s-%s" (.RoleName | truncate 16) (.DisplayName | truncate 22) (random 12) | truncate 63 }}',
    },
    namespace,
  );
  for (const [role, ttl] of [
    ["acme.reader", 60],
    ["globex.reader", 60],
    ["acme.brief", 3],
  ] as const) {
    await bao.set(
      `database/roles/${role}`,
      {
        db_name: "pg",
        default_ttl: `${ttl}s`,
        max_ttl: "10m",
        creation_statements: [
          `CREATE ROLE "{{name}}" WITH LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}' IN ROLE tool_ro`,
        ],
        revocation_statements: [
          "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{{name}}'",
          'DROP ROLE IF EXISTS "{{name}}"',
        ],
      },
      namespace,
    );
  }
}

async function setUpOthers(bao: OpenBao, accessor: string): Promise<void> {
  await bao.set("identity/oidc/key/mcp", { algorithm: "ES256", allowed_client_ids: ["https://files"] });
  const template = `{"tenant":{{identity.entity.aliases.${accessor}.metadata.tenant}},"user":{{identity.entity.aliases.${accessor}.metadata.user}}}`;
  for (const [role, ttl] of [
    ["acme.files", "60s"],
    ["acme.endless", "24h"],
  ] as const) {
    await bao.set(`identity/oidc/role/${role}`, { key: "mcp", client_id: "https://files", ttl, template });
  }
  await bao.set("sys/mounts/kv", { type: "kv", options: { version: "2" } });
  for (const [path, data] of Object.entries({
    "acme/users/ann": { api_key: "key-of-acme-ann" },
    "globex/users/ann": { api_key: "key-of-globex-ann" },
    "acme/users/odd": { api_key: "line\r\nbreak" },
  })) {
    // A new mount refuses while it is being set up.
    while ((await bao.ask("POST", `kv/data/tenants/${path}/search`, { data })).status !== 200);
  }
  await bao.set("sys/mounts/pki", { type: "pki" });
  await bao.set("pki/root/generate/internal", { common_name: "ca", key_type: "ec", ttl: "1h" });
  await bao.set("pki/roles/acme.mesh", {
    key_type: "ec",
    key_bits: 256,
    allowed_uri_sans: ["spiffe://gw/tenant/acme/*"],
    require_cn: false,
    client_flag: true,
    no_store: true,
    max_ttl: "5m",
  });
}

const SOURCES: Readonly<Record<string, SourceConfig>> = {
  tickets: {
    type: "vault-dynamic",
    vault: "main",
    path: "database/creds/{tenant}.{role}",
    ttl: 60,
    upstreams: ["crm"],
    inject: { env: { PGUSER: "username", PGPASSWORD: "password" } },
  },
  tickets_http: {
    type: "vault-dynamic",
    vault: "main",
    path: "database/creds/{tenant}.{role}",
    ttl: 60,
    upstreams: ["crm"],
    inject: { header: { name: "authorization", scheme: "basic" } },
  },
  foreign: {
    type: "vault-dynamic",
    vault: "main",
    path: "database/creds/globex.reader",
    ttl: 60,
    upstreams: ["crm"],
    inject: { header: { name: "authorization", scheme: "basic" } },
  },
  files: {
    type: "vault-identity",
    vault: "main",
    role: "{tenant}.{role}",
    ttl: 60,
    upstreams: ["crm"],
    inject: { header: { name: "authorization", scheme: "bearer", field: "token" } },
  },
  search: {
    type: "vault-kv",
    vault: "main",
    mount: "kv",
    path: "tenants/{tenant}/users/{subject}/search",
    ttl: 60,
    upstreams: ["crm"],
    inject: { header: { name: "x-api-key", scheme: "raw", field: "api_key" } },
  },
  mesh: {
    type: "vault-pki",
    vault: "main",
    mount: "pki",
    role: "{tenant}.mesh",
    uri_san: "spiffe://gw/tenant/{tenant}/{subject}",
    ttl: 60,
    upstreams: ["crm"],
    inject: {},
  },
};

/** A world's server alone, without the leases that the room keeps of it. */
export async function aVault({ config }: Pick<VaultWorld, "config">): Promise<Vault> {
  const signer = await createSigner(signingKey);
  const parts = { issuer: PUBLIC_URL, signer, clock: systemClock, random: () => 0, log: silentLog };
  const vault = await openVault(config, parts);
  onTestFinished(() => vault.close());
  return vault;
}

/** The credential room over a world; what it says of leases is kept. */
export async function aVaultStage(
  world: Pick<VaultWorld, "config">,
  changes: Partial<CredentialsOptions> = {},
) {
  const entries: LeaseEntry[] = [];
  const roles = ["reader", "brief", "files", "endless", "nobody"];
  const given = Object.fromEntries(Object.keys(SOURCES).map((name) => [name, { roles, max_ttl: 300 }]));
  const credentials = await createCredentials({
    sources: SOURCES,
    vaults: { main: world.config },
    tenants: () => given,
    publicUrl: PUBLIC_URL,
    signingKey,
    capacity: 2000,
    clock: systemClock,
    log: silentLog,
    onLease: (entry) => void entries.push(entry),
    ...changes,
  });
  onTestFinished(() => credentials.close());
  return { credentials, entries, events: () => entries.map(({ event }) => event) };
}
