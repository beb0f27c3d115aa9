import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import type { TLSSocket } from "node:tls";
import { createRemoteJWKSet, jwtVerify } from "jose";
import pg from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Arrival, type Spy, serveSpy, text, tool } from "./upstreams.ts";
import { aStand, leaseRecords, type Stand } from "./vault-world.ts";
import { callTool, openSession, ROOT, textBelow, until, type World } from "./world.ts";

const AUDIENCE = "https://spy.example";
const HTTP_TOOLS = ["basic", "bearer", "raw", "foreign"];
const POLICY = `package authz

sources := {"basic": "basic", "bearer": "bearer", "raw": "raw", "foreign": "foreign"}

grant contains {"reason": name, "credential": {"source": source, "role": "reader"}} if {
	input.target.upstream == "spy"
	some name, source in sources
	input.target.name == name
}

grant contains {"reason": "rows", "credential": {"source": "rows", "role": "reader"}} if input.target.upstream == "rows"

grant contains {"reason": "told", "credential": {"source": "told", "role": "reader"}} if input.target.upstream == "told"

grant contains {"reason": "mesh", "credential": {"source": "mesh"}} if input.target.upstream == "mesh"

deny contains "leads read no tickets" if {
	"lead" in input.principal.roles
	input.target.upstream == "rows"
}
`;

let stand: Stand;
let world: World;
let spy: Spy;
let mesh: Spy;

beforeAll(async () => {
  stand = await aStand();
  await furnish(stand);
  const echo = ({ headers }: Arrival) => text(`you sent ${JSON.stringify(headers)}`);
  spy = await serveSpy({ tools: () => HTTP_TOOLS.map((name) => tool(name)), call: echo });
  const { ca, tls } = await serverCertificate(stand);
  mesh = await serveSpy({ tls, tools: () => [tool("mesh")], call: whoComes });
  const vault = { vault: "main", ttl: 60 };
  const database = { ...vault, type: "vault-dynamic", roles: ["reader"] };
  const env = { env: { PGUSER: "username", PGPASSWORD: "password" } };
  const credentials = {
    basic: { ...database, path: "database/creds/{tenant}.{role}", upstreams: ["spy"] },
    foreign: { ...database, path: "database/creds/globex.{role}", upstreams: ["spy"] },
    bearer: { ...vault, type: "vault-identity", role: "{tenant}.spy", roles: ["reader"], upstreams: ["spy"] },
    raw: {
      ...vault,
      type: "vault-kv",
      path: "tenants/{tenant}/users/{subject}/spy",
      roles: ["reader"],
      inject: { header: "x-api-key", scheme: "raw", field: "api_key" },
      upstreams: ["spy"],
    },
    rows: { ...database, path: "database/creds/{tenant}.{role}", inject: env, upstreams: ["rows"] },
    told: { ...database, path: "database/creds/{tenant}.{role}", inject: env, upstreams: ["told"] },
    mesh: {
      ...vault,
      type: "vault-pki",
      role: "{tenant}.mesh",
      uri_san: "spiffe://gw/tenant/{tenant}/{subject}",
      upstreams: ["mesh"],
    },
  };
  const given = Object.fromEntries(
    Object.entries(credentials).map(([name, source]) => [
      name,
      { roles: "roles" in source ? source.roles : [], max_ttl: 300 },
    ]),
  );
  const PG = { PGHOST: "127.0.0.1", PGPORT: String(stand.postgres.port), PGDATABASE: "desk" };
  const child = (script: string) => ({
    command: ["node", resolve(ROOT, script)],
    env: PG,
    isolation: "lease",
  });
  const servers = ["spy", "rows", "told", "mesh"];
  world = await stand.gateway({
    config: {
      upstreams: {
        spy: { url: spy.url, era: "legacy" },
        rows: child("examples/vault/query-tickets.mjs"),
        told: child("test/e2e/stdio-upstream.mjs"),
        mesh: { url: mesh.url, era: "legacy", ca: "ca.pem" },
      },
      servers: Object.fromEntries(servers.map((name) => [name, { upstreams: [name] }])),
      credentials,
      runs: {},
      tenants: {
        acme: { record: {}, servers, credentials: given },
        globex: { record: {}, servers, credentials: given },
      },
    },
    policies: POLICY,
    files: { "ca.pem": ca },
  });
});
afterAll(async () => {
  await world?.close();
  await Promise.all([spy, mesh].map((one) => one?.close()));
  await stand?.close();
});

/** What the example does not need: identity tokens, static secrets, client certificates. */
async function furnish({ bao }: Stand): Promise<void> {
  const { body } = await bao.ask("GET", "sys/auth");
  const at = `{{identity.entity.aliases.${body.data["jwt/"].accessor}.metadata`;
  const known = await bao.ask("GET", "sys/policies/acl/user");
  const policy = `${known.body.data.policy}
path "identity/oidc/token/${at}.tenant}}.*" { capabilities = ["read"] }
path "kv/data/tenants/${at}.tenant}}/users/${at}.user}}/*" { capabilities = ["read"] }
path "pki/issue/${at}.tenant}}.*" { capabilities = ["update"] }`;
  await bao.set("sys/policies/acl/user", { policy });
  await bao.set("identity/oidc/key/mcp", { algorithm: "ES256", allowed_client_ids: [AUDIENCE] });
  const template = `{"tenant":${at}.tenant}},"user":${at}.user}}}`;
  await bao.set("identity/oidc/role/acme.spy", { key: "mcp", client_id: AUDIENCE, ttl: "60s", template });
  await bao.set("sys/mounts/kv", { type: "kv", options: { version: "2" } });
  // A new mount refuses while it is being set up.
  const data = { api_key: "static-key-of-acme-ann" };
  while ((await bao.ask("POST", "kv/data/tenants/acme/users/ann/spy", { data })).status !== 200);
  await bao.set("sys/mounts/pki", { type: "pki" });
  await bao.set("pki/root/generate/internal", { common_name: "ca", key_type: "ec", ttl: "1h" });
  const short = { key_type: "ec", key_bits: 256, no_store: true, max_ttl: "5m", require_cn: false };
  await bao.set("pki/roles/acme.mesh", {
    ...short,
    allowed_uri_sans: ["spiffe://gw/tenant/acme/*"],
    client_flag: true,
  });
  await bao.set("pki/roles/server", { ...short, allow_ip_sans: true, server_flag: true });
}

async function serverCertificate({ bao }: Stand) {
  const { data } = await bao.set("pki/issue/server", { ip_sans: "127.0.0.1", ttl: "5m" });
  const ca = String(data.issuing_ca);
  return {
    ca,
    tls: { ca, cert: data.certificate, key: data.private_key, requestCert: true, rejectUnauthorized: false },
  };
}

function whoComes({ response }: Arrival) {
  const socket = response.req.socket as TLSSocket;
  return text(socket.authorized ? String(socket.getPeerCertificate().subjectaltname) : "nobody");
}

async function told(server: string, name: string, user = "ann", args = {}): Promise<string> {
  const token = await world.token(user, server);
  const { body } = await callTool(world.url(server), name, args, { token });
  const content = body.result?.content as readonly { readonly text: string }[] | undefined;
  return content?.[0]?.text ?? `${body.error?.data.code}`;
}

const pairIn = (header: string | undefined): readonly string[] =>
  Buffer.from((header ?? "").replace("Basic ", ""), "base64")
    .toString()
    .split(":");

async function rowsAs([user, password]: readonly string[]): Promise<readonly string[]> {
  const { port } = stand.postgres;
  const client = new pg.Client({ host: "127.0.0.1", port, database: "desk", user, password });
  client.on("error", () => {});
  await client.connect();
  const { rows } = await client.query("SELECT id FROM tickets ORDER BY id");
  await client.end();
  return rows.map(({ id }) => id);
}

test("basic: a database role of this user's reaches the upstream, beside the id of the decision", async () => {
  await told("spy", "basic");
  const { headers } = spy.calls().at(-1) as Arrival;
  const pair = pairIn(headers.authorization);
  expect(pair[0]).toMatch(/^mcp-acme\.reader-jwt-acme\/ann-/);
  expect(await rowsAs(pair)).toEqual(["ACME-1", "ACME-2", "ACME-3", "ACME-4"]);
  const minted = await until("the lease's record", async () =>
    (await leaseRecords(world)).find((one) => one.event === "minted" && one.source === "basic"),
  );
  expect(minted).toMatchObject({ decision: headers["portcullis-decision"], tenant: "acme", subject: "ann" });
  const outcome = await until("the outcome", async () =>
    (await world.outcomes()).find((one) => one.decision === minted.decision),
  );
  expect(outcome.lease_sha256).toBe(minted.lease_sha256);
  const vaults = (await stand.mints()).find((one) => one.decision === minted.decision);
  expect(vaults).toMatchObject({ request: minted.request_id, user: "jwt-acme/ann" });
});

test("bearer: Vault's own token for this upstream, of this user and tenant", async () => {
  await told("spy", "bearer");
  const token = spy.calls().at(-1)?.headers.authorization?.replace("Bearer ", "") ?? "";
  const jwks = createRemoteJWKSet(new URL(`${stand.bao.address}/v1/identity/oidc/.well-known/keys`));
  const { payload } = await jwtVerify(token, jwks, { audience: AUDIENCE });
  expect(payload).toMatchObject({ tenant: "acme", user: "ann" });
});

test("raw: the key that is kept for this user, and none for a user who has none", async () => {
  await told("spy", "raw");
  expect(spy.calls().at(-1)?.headers["x-api-key"]).toBe("static-key-of-acme-ann");
  const before = spy.calls().length;
  expect(await told("spy", "raw", "bob")).toBe("vault_secret_missing");
  expect(spy.calls()).toHaveLength(before);
});

test("environment: each user's child has a role of its own, and reads its own company's rows", async () => {
  const read = async (user: string) => JSON.parse(await told("rows", "query_tickets", user, {}));
  const [ann, again, dee] = [await read("ann"), await read("ann"), await read("dee")];
  expect(ann.database_user).toMatch(/^mcp-acme\.reader-jwt-acme\/ann-/);
  expect(again.database_user).toBe(ann.database_user);
  expect(dee.database_user).toMatch(/^mcp-globex\.reader-jwt-globex\/dee-/);
  expect(ann.tickets.map(({ id }: { id: string }) => id)).toEqual(["ACME-1", "ACME-2", "ACME-3", "ACME-4"]);
  expect(dee.tickets.map(({ id }: { id: string }) => id)).toEqual(["GLX-1", "GLX-2", "GLX-3"]);
});

test("a child that tells its environment tells the user name, and not the password", async () => {
  const env = JSON.parse(await told("told", "env"));
  expect(env.PGUSER).toMatch(/^mcp-acme\.reader-jwt-acme\/ann-/);
  expect(env.PGPASSWORD).toBe("[withheld]");
  expect(Object.keys(env).sort()).toEqual(
    ["HOME", "PATH", "PGDATABASE", "PGHOST", "PGPASSWORD", "PGPORT", "PGUSER"].sort(),
  );
});

test("mutual TLS: the certificate names this user, and a tenant that has no such role gets none", async () => {
  expect(await told("mesh", "mesh")).toBe("URI:spiffe://gw/tenant/acme/ann");
  expect(await told("mesh", "mesh", "bob")).toBe("URI:spiffe://gw/tenant/acme/bob");
  const before = mesh.calls().length;
  // Not permitted, or not there: Vault does not say.
  expect(await told("mesh", "mesh", "dee")).toMatch(/^vault_(denied|role_unknown)$/);
  expect(mesh.calls()).toHaveLength(before);
});

test("Vault itself refuses another tenant's role that the configuration would have given", async () => {
  const before = spy.calls().length;
  expect(await told("spy", "foreign")).toBe("vault_denied");
  expect(spy.calls()).toHaveLength(before);
});

test("a denied call asks nothing of Vault", async () => {
  const before = (await stand.bao.audit()).length;
  expect(await told("rows", "query_tickets", "bob", {})).toBe("not_found");
  expect(await told("rows", "query_tickets", "ann", { limit: 0 })).toBe("arguments_invalid");
  expect((await stand.bao.audit()).length).toBe(before);
});

test("a user's leases are revoked with the last of their sessions, and others' are not", async () => {
  const url = world.url("spy");
  const token = await world.token("dee", "spy");
  const sessions = [await openSession(url, token), await openSession(url, token)];
  await callTool(url, "basic", {}, { token, era: "legacy", session: sessions[0] as string });
  const roles = async (user: string) =>
    (await stand.roles()).filter(({ name }) => name.includes(`/${user}-`)).length;
  const [dees, anns] = [await roles("dee"), await roles("ann")];
  expect([dees > 0, anns > 0]).toEqual([true, true]);
  const end = (session: string) =>
    fetch(url, {
      method: "DELETE",
      headers: {
        authorization: `Bearer ${token}`,
        "mcp-session-id": session,
        "mcp-protocol-version": "2025-11-25",
      },
    });
  await end(sessions[0] as string);
  expect(await roles("dee")).toBe(dees);
  await end(sessions[1] as string);
  await until("no role of dee's", async () => (await roles("dee")) === 0);
  expect(await roles("ann")).toBe(anns);
});

test("a run's leases end with the run, and are nobody else's meanwhile", async () => {
  const token = await world.token("ann", "spy");
  const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
  const begun = await fetch(`${world.origin}/runs`, { method: "POST", headers, body: "{}" });
  const run = (await begun.json()) as { readonly id: string; readonly token: string };
  await told("spy", "basic");
  const own = pairIn(spy.calls().at(-1)?.headers.authorization)[0];
  await callTool(world.url("spy"), "basic", {}, { token: run.token });
  const runs = pairIn(spy.calls().at(-1)?.headers.authorization)[0];
  expect(runs).not.toBe(own);
  await fetch(`${world.origin}/runs/${run.id}`, { method: "DELETE", headers });
  const names = async () => (await stand.roles()).map(({ name }) => name);
  await until("the run's role is gone", async () => !(await names()).includes(runs ?? ""));
  expect(await names()).toContain(own);
  const records = async () => (await leaseRecords(world)).filter((one) => one.run === run.id);
  await until("its record", async () => (await records()).length === 2);
  expect((await records()).map(({ event, reason }) => [event, reason])).toEqual([
    ["minted", ""],
    ["revoked", "the run was ended"],
  ]);
});

test("a suspended tenant's leases are gone from Vault, their children with them; others' stay; then all is back", async () => {
  const read = async (user: string) => JSON.parse(await told("rows", "query_tickets", user, {}));
  const [ann, dee] = [await read("ann"), await read("dee")];
  await told("spy", "basic");
  const roles = async () => (await stand.roles()).map(({ name }) => name);
  // One that is still being minted, for a user who has none yet.
  const minting = told("spy", "basic", "bob");
  await until("bob's decision", async () =>
    (await world.decisions()).some(
      ({ principal, effect }) => principal?.subject === "bob" && effect === "allow",
    ),
  );
  const order = { tenant: "acme", reason: "", by: "root" };
  await world.gateway.operator.suspend(order);
  await minting;
  expect((await roles()).filter((name) => name.startsWith("mcp-acme."))).toEqual([]);
  expect(await roles()).toContain(dee.database_user);
  await until("its child's end", () => childrenWith(ann.database_user) === 0);
  expect(childrenWith(dee.database_user)).toBe(1);
  expect(await told("spy", "basic")).toBe("tenant_suspended");
  const ended = (await leaseRecords(world)).filter(({ reason }) => reason === "the tenant was suspended");
  expect(new Set(ended.map(({ tenant }) => tenant))).toEqual(new Set(["acme"]));
  expect(ended.filter(({ source }) => source === "rows").map(({ event }) => event)).toContain("revoked");
  await world.gateway.operator.resume(order);
  expect((await read("ann")).database_user).not.toBe(ann.database_user);
  expect((await read("dee")).database_user).toBe(dee.database_user);
});

/** Processes that were given this database user. */
function childrenWith(user: string): number {
  const given = (pid: string) => {
    try {
      return readFileSync(`/proc/${pid}/environ`, "utf8").includes(`PGUSER=${user}`);
    } catch {
      return false;
    }
  };
  return readdirSync("/proc").filter((name) => /^\d+$/.test(name) && given(name)).length;
}

test("what the policies no longer give is revoked", async () => {
  await told("spy", "basic");
  const [user = ""] = pairIn(spy.calls().at(-1)?.headers.authorization);
  const file = join(world.directory, "policies/main.rego");
  writeFileSync(
    file,
    `${readFileSync(file, "utf8")}\ndeny contains "never" if input.target.name == "never"\n`,
  );
  await world.gateway.reload();
  await until("the role is gone", async () => !(await stand.roles()).some(({ name }) => name === user));
  await until("its record", async () =>
    (await leaseRecords(world)).some(
      ({ event, reason }) => event === "revoked" && reason === "the policies changed",
    ),
  );
  await told("spy", "basic");
  expect(pairIn(spy.calls().at(-1)?.headers.authorization)[0]).not.toBe(user);
});

test("no secret is in an answer, a log, a record, the status, the metrics, or any process's arguments", async () => {
  const answers = [
    ...(await Promise.all(["basic", "bearer", "raw"].map((name) => told("spy", name)))),
    await told("told", "env"),
    await told("rows", "query_tickets"),
  ];
  expect(answers[0]).toContain("[withheld]");
  const sent = spy.calls().flatMap(({ headers }) => {
    const { authorization = "", "x-api-key": key = "" } = headers;
    const bare = authorization.replace(/^\w+ /, "");
    const password = authorization.startsWith("Basic") ? (pairIn(authorization)[1] ?? "") : "";
    return [bare, password, String(key)].filter((one) => one !== "");
  });
  const secrets = new Set([...sent, ...Object.values(stand.env), ...(await childPasswords())]);
  expect(secrets.size).toBeGreaterThan(6);
  const kept = [
    ...answers,
    world.said.join(""),
    textBelow(world.directory),
    JSON.stringify(world.gateway.status()),
    await (await fetch(`${world.origin}/metrics`)).text(),
    ...processFiles("cmdline"),
  ];
  for (const secret of secrets)
    for (const place of kept) expect(place.includes(secret), place.slice(0, 200)).toBe(false);
});

/** What the children were given, read where only their owner can: in their environment. */
async function childPasswords(): Promise<readonly string[]> {
  const found = processFiles("environ").flatMap((env) => /(?:^|\0)PGPASSWORD=([^\0]+)/.exec(env)?.[1] ?? []);
  expect(found.length).toBeGreaterThan(0);
  return found;
}

function processFiles(name: "cmdline" | "environ"): readonly string[] {
  return readdirSync("/proc")
    .filter((pid) => /^\d+$/.test(pid))
    .flatMap((pid) => {
      try {
        return [readFileSync(`/proc/${pid}/${name}`, "utf8")];
      } catch {
        return [];
      }
    });
}
