import { X509Certificate } from "node:crypto";
import { createRemoteJWKSet, jwtVerify } from "jose";
import pg from "pg";
import { beforeAll, expect, test } from "vitest";
import type { Lease, Principal } from "../../src/domain.ts";
import { decision, principalOf } from "./support.ts";
import { aVaultStage, aVaultWorld, type VaultWorld } from "./vault-world.ts";

let world: VaultWorld;
beforeAll(async () => {
  world = await aVaultWorld();
  return () => world.close();
});
const reader = { source: "tickets", role: "reader" };
const ann = principalOf();
const others = (count: number): Principal[] =>
  Array.from({ length: count }, (_, index) => principalOf({ subject: `user-${index}` }));

function connect(lease: Lease): pg.Client {
  const client = new pg.Client({
    host: "127.0.0.1",
    port: world.postgres.port,
    database: "postgres",
    user: lease.env?.get("PGUSER")?.reveal() ?? "",
    password: lease.env?.get("PGPASSWORD")?.reveal() ?? "",
  });
  client.on("error", () => {});
  return client;
}

test("a database role is made for this user, used, and gone with its lease", async () => {
  const { credentials, events, entries } = await aVaultStage(world);
  const lease = await credentials.obtain(reader, ann, decision);
  expect(lease.headers.size).toBe(0);
  const client = connect(lease);
  await client.connect();
  const { rows } = await client.query("SELECT current_user AS me, count(*) FROM tickets");
  expect(rows[0].me).toMatch(/^mcp-acme\.reader-jwt-gw-acme\/ann-/);
  await expect(client.query("CREATE TABLE mine (id int)")).rejects.toMatchObject({ code: "42501" });
  await lease.revoke();
  await expect(client.query("SELECT 1")).rejects.toThrow();
  await expect(connect(lease).connect()).rejects.toMatchObject({ code: "28P01" });
  expect(await world.roles()).toEqual([]);
  expect(events()).toEqual(["minted", "revoked"]);
  expect(entries[0]).toMatchObject({
    phase: "lease",
    decision: "d1",
    tenant: "acme",
    subject: "ann",
    role: "reader",
    lease_sha256: lease.sha256,
  });
});

test("user name and password travel as a Basic header, and the bare password is named as a secret", async () => {
  const { credentials } = await aVaultStage(world);
  const lease = await credentials.obtain({ ...reader, source: "tickets_http" }, ann, decision);
  const header = lease.headers.get("authorization")?.reveal() ?? "";
  const [user, password = ""] = Buffer.from(header.replace("Basic ", ""), "base64").toString().split(":");
  expect(user).toMatch(/^mcp-acme/);
  expect(lease.secrets?.map((one) => one.reveal())).toEqual([password]);
});

test("the key by which Vault checks the gateway's logins is published, also where nothing else is signed", async () => {
  const { credentials } = await aVaultStage(world);
  expect(credentials.jwks().keys).toHaveLength(1);
});

test("Vault signs an identity token for the upstream's audience, with tenant and user", async () => {
  const { credentials } = await aVaultStage(world);
  const lease = await credentials.obtain({ source: "files", role: "files" }, ann, decision);
  const token = lease.headers.get("authorization")?.reveal().replace("Bearer ", "") ?? "";
  const jwks = createRemoteJWKSet(new URL(`${world.bao.address}/v1/identity/oidc/.well-known/keys`));
  const { payload } = await jwtVerify(token, jwks, { audience: "https://files", algorithms: ["ES256"] });
  expect(payload).toMatchObject({ tenant: "acme", user: "ann" });
  expect(lease.expires).toBeLessThanOrEqual(Date.now() + 60_000);
});

test("an identity token that would outlive what is permitted is refused", async () => {
  const { credentials } = await aVaultStage(world);
  const asked = credentials.obtain({ source: "files", role: "endless" }, ann, decision);
  await expect(asked).rejects.toMatchObject({ code: "credential_refused" });
});

test("the same user name in two tenants reads two secrets", async () => {
  const { credentials } = await aVaultStage(world);
  const keyOf = async (tenant: string) =>
    (await credentials.obtain({ source: "search" }, principalOf({ tenant }), decision)).headers
      .get("x-api-key")
      ?.reveal();
  expect(await keyOf("acme")).toBe("key-of-acme-ann");
  expect(await keyOf("globex")).toBe("key-of-globex-ann");
  expect(await keyOf("acme")).toBe("key-of-acme-ann");
});

test.each([
  ["another issuer's", { issuer: "https://other.example" }],
  ["an upper-case", { subject: "Ann" }],
  ["a wildcard", { subject: "*" }],
  ["a climbing", { subject: "../ann" }],
  ["an empty", { subject: "" }],
])("%s subject is not ann: it finds nothing of hers", async (_, changes) => {
  const { credentials } = await aVaultStage(world);
  const asked = credentials.obtain({ source: "search" }, principalOf(changes), decision);
  await expect(asked).rejects.toMatchObject({ code: "vault_secret_missing" });
});

test("a secret that would break a header is not sent", async () => {
  const { credentials } = await aVaultStage(world);
  const asked = credentials.obtain({ source: "search" }, principalOf({ subject: "odd" }), decision);
  await expect(asked).rejects.toMatchObject({ code: "credential_unavailable" });
});

test("a client certificate names this principal alone", async () => {
  const { credentials } = await aVaultStage(world);
  const lease = await credentials.obtain({ source: "mesh" }, ann, decision);
  const certificate = new X509Certificate(lease.certificate?.certificate ?? "");
  expect(certificate.subjectAltName).toBe("URI:spiffe://gw/tenant/acme/ann");
  expect(Date.parse(certificate.validTo)).toBeLessThanOrEqual(Date.now() + 61_000);
  expect(lease.certificate?.key.reveal()).toContain("PRIVATE KEY");
  expect(lease.headers.size).toBe(0);
});

test("Vault itself holds tenants apart where the configuration would not", async () => {
  const { credentials } = await aVaultStage(world);
  const asked = credentials.obtain({ source: "foreign" }, ann, decision);
  await expect(asked).rejects.toMatchObject({ code: "vault_denied" });
  const before = (await world.bao.audit()).length;
  await credentials.obtain({ source: "foreign" }, ann, decision).catch(() => {});
  const paths = (await world.bao.audit()).slice(before).map(({ request }) => request.path);
  // No second try: a denial is no dead token.
  expect(paths.filter((path) => path === "database/creds/globex.reader")).toHaveLength(2);
  expect(paths).not.toContain("auth/jwt-gw/login");
  expect(await world.leases()).toEqual([]);
});

test("a hundred calls at once share one login and one role", async () => {
  const { credentials, events } = await aVaultStage(world);
  const before = (await world.bao.audit()).length;
  const leases = await Promise.all(
    Array.from({ length: 100 }, () => credentials.obtain(reader, ann, decision)),
  );
  expect(new Set(leases.map(({ sha256 }) => sha256)).size).toBe(1);
  const requests = (await world.bao.audit()).slice(before).filter(({ type }) => type === "request");
  const paths = requests.map(({ request }) => request.path);
  expect(paths.filter((path) => path === "auth/jwt-gw/login")).toHaveLength(1);
  expect(paths.filter((path) => path === "database/creds/acme.reader")).toHaveLength(1);
  expect(events()).toEqual(["minted"]);
  await credentials.close();
});

test("a lease is not shared between users, tenants, runs or revisions", async () => {
  const { credentials } = await aVaultStage(world);
  const run = (id: string) => ({ id, expires: Math.floor(Date.now() / 1000) + 60 });
  const revision = { platform: "p2", tenant: "" };
  const leases = await Promise.all([
    credentials.obtain(reader, ann, decision),
    credentials.obtain(reader, principalOf({ subject: "bob" }), decision),
    credentials.obtain(reader, principalOf({ tenant: "globex" }), decision),
    credentials.obtain(reader, principalOf({ run: run("r1") }), decision),
    credentials.obtain(reader, principalOf({ run: run("r2") }), decision),
    credentials.obtain(reader, ann, { ...decision, revision }),
  ]);
  expect(new Set(leases.map(({ sha256 }) => sha256)).size).toBe(6);
  // Nor does a run's hang on its user's token.
  expect(await world.tokens()).toMatchObject({ users: 5 });
  expect(await credentials.revokeWhere((scope) => scope.run === "r1", "the run ended")).toBe(1);
  expect(await credentials.revokeWhere((scope) => scope.tenant === "globex", "suspended")).toBe(1);
  expect(await credentials.revokeWhere((scope) => scope.revision.platform !== "p2", "policy")).toBe(3);
  expect(await world.leases()).toHaveLength(1);
  await credentials.close();
  expect(await world.leases()).toEqual([]);
});

test("a lease never outlives its run", async () => {
  const { credentials, events } = await aVaultStage(world);
  const expires = Math.ceil(Date.now() / 1000) + 4;
  const lease = await credentials.obtain(reader, principalOf({ run: { id: "r", expires } }), decision);
  expect(lease.expires).toBeLessThanOrEqual(expires * 1000);
  lease.hold?.();
  await expect.poll(events).toContain("revoked");
  expect(await world.leases()).toEqual([]);
});

test("nothing is made for a run that ended while it waited for Vault", async () => {
  const { credentials } = await aVaultStage(world);
  const run = { id: "r", expires: Math.floor(Date.now() / 1000) - 1 };
  const asked = credentials.obtain(reader, principalOf({ run }), decision);
  await expect(asked).rejects.toMatchObject({ code: "credential_refused" });
  expect(await world.leases()).toEqual([]);
});

test("nor does what Vault cannot end: a secret is dropped with the run, an identity token refused", async () => {
  const { credentials } = await aVaultStage(world);
  const expires = Math.floor(Date.now() / 1000) + 20;
  const inRun = principalOf({ run: { id: "r", expires } });
  const secret = await credentials.obtain({ source: "search" }, inRun, decision);
  expect(secret.expires).toBeLessThanOrEqual(expires * 1000);
  const token = credentials.obtain({ source: "files", role: "files" }, inRun, decision);
  await expect(token).rejects.toMatchObject({ code: "credential_refused" });
});

test("a lease in use is renewed, one that is not ends", async () => {
  const { credentials, events } = await aVaultStage(world);
  const brief = { source: "tickets", role: "brief" };
  const used = await credentials.obtain({ ...brief, ttl: 3 }, ann, decision);
  const release = used.hold?.();
  const first = used.expires;
  await expect.poll(() => events().filter((event) => event === "renewed").length).toBeGreaterThan(1);
  expect(used.expires).toBeGreaterThan(first);
  expect(await credentials.obtain({ ...brief, ttl: 3 }, ann, decision)).toBe(used);
  release?.();
  await expect.poll(() => world.leases()).toEqual([]);
});

test("a lease lives no longer than its tenant may have one, however much it is used", async () => {
  const tenants = () => ({ tickets: { roles: ["brief"], max_ttl: 5 } });
  const { credentials, events } = await aVaultStage(world, { tenants });
  const brief = { source: "tickets", role: "brief", ttl: 3 };
  const first = await credentials.obtain(brief, ann, decision);
  const latest = Date.now() + 5000;
  first.hold?.();
  await expect.poll(events).toContain("renewed");
  await expect.poll(events).toContain("revoked");
  expect(first.expires).toBeLessThanOrEqual(latest);
  // Not for the minute that Vault would have let it live.
  expect(Date.now() - latest).toBeLessThan(20_000);
  expect(await world.leases()).toEqual([]);
});

test("a secret that ends by itself lets go of its user's token, which ends with the last of them", async () => {
  const { credentials, events } = await aVaultStage(world);
  await credentials.obtain({ source: "search", ttl: 1 }, ann, decision);
  await expect.poll(events).toEqual(["minted", "dropped"]);
  // The gateway's own, with which it ended the user's.
  await expect.poll(() => world.tokens()).toEqual({ users: 0, own: 1 });
});

test("a lease whose role is gone already, as when Vault died between ending the two, still ends", async () => {
  const { credentials, events } = await aVaultStage(world);
  const lease = await credentials.obtain(reader, ann, decision);
  await world.postgres.query(`DROP ROLE "${lease.env?.get("PGUSER")?.reveal()}"`);
  await lease.revoke();
  expect(events()).toEqual(["minted", "revoked"]);
  expect(await world.leases()).toEqual([]);
});

test("what was revoked while it was minted is never handed out", async () => {
  const { credentials } = await aVaultStage(world);
  const asked = credentials.obtain(reader, ann, decision);
  const refused = expect(asked).rejects.toMatchObject({ code: "credential_refused" });
  expect(await credentials.revokeWhere(({ subject }) => subject === "ann", "suspended")).toBe(1);
  await refused;
  expect(await world.leases()).toEqual([]);
});

test("shutdown leaves no lease and no token", async () => {
  const { credentials } = await aVaultStage(world);
  await Promise.all(others(30).map((user) => credentials.obtain(reader, user, decision)));
  await Promise.all(others(5).map((user) => credentials.obtain({ source: "mesh" }, user, decision)));
  expect(await world.leases()).toHaveLength(30);
  await credentials.close();
  expect(await world.leases()).toEqual([]);
  expect(await world.roles()).toEqual([]);
  await expect.poll(() => world.tokens()).toEqual({ users: 0, own: 0 });
});

test("Vault's audit log and ours join on the decision and on the request", async () => {
  const { credentials, entries } = await aVaultStage(world);
  const decisionId = `decision-${Date.now()}`;
  const lease = await credentials.obtain({ source: "tickets", role: "brief", ttl: 3 }, ann, {
    ...decision,
    decisionId,
  });
  await expect.poll(() => entries.map(({ event }) => event)).toContain("renewed");
  await lease.revoke();
  const lines = (await world.bao.audit()).filter(
    ({ type, request }) => type === "response" && request.headers?.["x-mcp-decision-id"]?.[0] === decisionId,
  );
  const paths = lines.map(({ request }) => request.path);
  expect(paths).toEqual(
    expect.arrayContaining(["database/creds/acme.brief", "sys/leases/renew", "sys/leases/revoke"]),
  );
  const minted = entries.find(({ event }) => event === "minted");
  const line = lines.find(({ request }) => request.id === minted?.request_id);
  expect(line?.auth?.metadata).toMatchObject({ tenant: "acme", user: "ann" });
});

test("the gateway's own discovery, which has no tenant, gets nothing of Vault", async () => {
  const { credentials } = await aVaultStage(world);
  const asked = credentials.obtain({ source: "mesh" }, principalOf({ tenant: "" }), decision);
  await expect(asked).rejects.toMatchObject({ code: "credential_refused" });
});
