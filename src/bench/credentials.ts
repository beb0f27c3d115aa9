import { createPublicKey, generateKeyPairSync } from "node:crypto";
import { performance } from "node:perf_hooks";
import { type Credentials, createCredentials } from "../credential/credentials.ts";
import { type OpenBao, startOpenBao } from "../demo/services/openbao.ts";
import { type Postgres, startPostgres } from "../demo/services/postgres.ts";
import type { Principal } from "../domain.ts";
import { systemClock } from "../lib/clock.ts";
import { silentLog } from "../lib/log.ts";
import { plainPrincipal } from "../lib/principal.ts";
import { Secret } from "../lib/secret.ts";

const PUBLIC_URL = "https://gate.example";
const ISSUER = "https://idp.example";
type Report = (name: string, p50: number, p99: number) => void;

const CROWD = 1000;
const CHOICE = { source: "tickets" };
const DECISION = {
  decisionId: "bench",
  upstream: "crm",
  server: "bench",
  revision: { platform: "p", tenant: "" },
};
const POLICY = ["database/creds/*", "auth/token/lookup-self", "auth/token/renew-self"]
  .concat("sys/leases/renew", "sys/leases/revoke", "auth/token/revoke-accessor")
  .map((path) => `path "${path}" { capabilities = ["read", "update"] }`)
  .join("\n");

const key = generateKeyPairSync("ec", { namedCurve: "P-256" });

/** A cached lease, a cold mint beside the bare call, and a thousand users at once, against real servers. */
export async function benchCredentials(report: Report): Promise<void> {
  const postgres = await startPostgres();
  const bao = await startOpenBao();
  const credentials = await open(bao, postgres);
  try {
    await measure(credentials, bao, report);
  } finally {
    await credentials.close();
    await bao.close();
    await postgres.close();
  }
}

async function measure(credentials: Credentials, bao: OpenBao, report: Report): Promise<void> {
  await credentials.obtain(CHOICE, userOf("familiar"), DECISION);
  const familiar = userOf("familiar");
  report("cached lease", ...(await quantiles(20_000, () => credentials.obtain(CHOICE, familiar, DECISION))));

  // Interleaved, so that a slow moment meets both. The user is logged in: what is compared is one mint.
  const bare: number[] = [];
  const cold: number[] = [];
  for (let index = 0; index < 300; index += 1) {
    bare.push(await timed(() => bao.ask("GET", "database/creds/reader")));
    const revision = { platform: `p${index}`, tenant: "" };
    cold.push(await timed(() => credentials.obtain(CHOICE, familiar, { ...DECISION, revision })));
  }
  report("bare Vault call", ...of(bare));
  report("the same, as a lease", ...of(cold));

  const startedAt = performance.now();
  const crowd = Array.from({ length: CROWD }, (_, index) =>
    timed(() => credentials.obtain(CHOICE, userOf(`user-${index}`), DECISION)),
  );
  const waited = await Promise.all(crowd);
  report("1,000 users at once", ...of(waited));
  const each = ((performance.now() - startedAt) * 1000) / CROWD;
  report("of them, each took", each, each);
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const startedAt = performance.now();
  await work();
  return (performance.now() - startedAt) * 1000;
}

async function quantiles(runs: number, work: () => Promise<unknown>): Promise<[number, number]> {
  for (let run = 0; run < runs / 10; run += 1) await work();
  const times: number[] = [];
  for (let run = 0; run < runs; run += 1) times.push(await timed(work));
  return of(times);
}

function of(times: number[]): [number, number] {
  const sorted = times.toSorted((a, b) => a - b);
  return [sorted[Math.floor(sorted.length * 0.5)] ?? 0, sorted[Math.floor(sorted.length * 0.99)] ?? 0];
}

async function open(bao: OpenBao, postgres: Postgres): Promise<Credentials> {
  await postgres.query(`CREATE ROLE tool_ro NOLOGIN; CREATE ROLE vaultadmin LOGIN CREATEROLE PASSWORD 'bench';
    GRANT tool_ro TO vaultadmin WITH ADMIN OPTION`);
  await bao.set("sys/mounts/database", { type: "database" });
  await bao.set("database/config/pg", {
    plugin_name: "postgresql-database-plugin",
    allowed_roles: "*",
    connection_url: `postgresql://{{username}}:{{password}}@127.0.0.1:${postgres.port}/postgres?sslmode=disable`,
    username: "vaultadmin",
    password: "bench",
    password_authentication: "scram-sha-256",
  });
  const create = `CREATE ROLE "{{name}}" WITH LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}' IN ROLE tool_ro`;
  const role = { db_name: "pg", default_ttl: "60s", max_ttl: "10m", creation_statements: [create] };
  await bao.set("database/roles/reader", role);
  await bao.set("sys/policies/acl/bench", { policy: POLICY });
  await bao.set("sys/auth/jwt", { type: "jwt" });
  const publicKey = createPublicKey(key.privateKey).export({ type: "spki", format: "pem" }).toString();
  await bao.set("auth/jwt/config", { jwt_validation_pubkeys: [publicKey] });
  await bao.set("auth/jwt/role/mcp", {
    role_type: "jwt",
    bound_audiences: ["vault"],
    user_claim: "vault_alias",
    token_policies: ["bench"],
    token_ttl: "2m",
  });
  await bao.set("sys/auth/approle", { type: "approle" });
  await bao.set("auth/approle/role/gateway", { token_policies: ["bench"], token_ttl: "10m" });
  const { body: roleId } = await bao.ask("GET", "auth/approle/role/gateway/role-id");
  const { body: secretId } = await bao.ask("POST", "auth/approle/role/gateway/secret-id");
  const manager = {
    type: "approle",
    mount: "approle",
    namespace: "",
    roleId: async () => new Secret(roleId.data.role_id),
    secretId: async () => new Secret(secretId.data.secret_id),
  } as const;
  const main = {
    address: bao.address,
    namespace: "",
    ca: null,
    login: { type: "jwt", mount: "jwt", role: "mcp", audience: "vault" },
    manager,
    plainIssuer: ISSUER,
    timeoutMs: 5000,
  } as const;
  return createCredentials({
    sources: {
      tickets: {
        type: "vault-dynamic",
        vault: "main",
        path: "database/creds/reader",
        ttl: 60,
        upstreams: ["crm"],
        inject: { header: { name: "authorization", scheme: "basic" } },
      },
    },
    vaults: { main },
    tenants: () => ({ tickets: { roles: [], max_ttl: 300 } }),
    publicUrl: PUBLIC_URL,
    signingKey: new Secret(key.privateKey.export({ type: "pkcs8", format: "pem" }).toString()),
    capacity: 5000,
    clock: systemClock,
    log: silentLog,
  });
}

function userOf(subject: string): Principal {
  return plainPrincipal({ kind: "user", issuer: ISSUER, subject, tenant: "bench" });
}
