import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { inspect } from "node:util";
import { beforeAll, expect, onTestFinished, test } from "vitest";
import { openVaultClient } from "../../src/credential/vault/client.ts";
import { Secret } from "../../src/lib/secret.ts";
import { event } from "../upstream/servers.ts";
import { decision, principalOf } from "./support.ts";
import {
  aVaultStage,
  aVaultWorld,
  LOGIN_ROLE,
  setUpDatabaseMount,
  setUpLogin,
  setUpPolicy,
  type VaultWorld,
} from "./vault-world.ts";

let world: VaultWorld;
beforeAll(async () => {
  world = await aVaultWorld({ durable: true });
  return () => world.close();
});
const reader = { source: "tickets", role: "reader" };
const ann = principalOf();
const globexAnn = principalOf({ tenant: "globex" });
const user = (index: number) => principalOf({ subject: `user-${index}` });
const TOKEN = new Secret("hunter2-token");
const call = { token: TOKEN, namespace: "", decisionId: "d1", timeoutMs: 30_000 };

/**
 * A front before the real server, which may hold its answers back for some time or until something has happened, lose
 * them (-1), answer in its place, or ask for something else `instead`.
 */
async function front(
  behave: (path: string) => number | Promise<void> | { status: number; headers?: Record<string, string> },
  { withoutNamespaces = false, instead }: { withoutNamespaces?: boolean; instead?: object } = {},
) {
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const told = behave(request.url ?? "");
    if (typeof told !== "number" && !(told instanceof Promise)) {
      response.writeHead(told.status, told.headers);
      response.end('{"errors":["hunter2-token"]}');
      return;
    }
    const { host: _, "content-length": __, connection: ___, ...headers } = request.headers;
    if (withoutNamespaces) delete headers["x-vault-namespace"];
    const answer = await fetch(world.bao.address + request.url, {
      method: request.method ?? "GET",
      headers: headers as Record<string, string>,
      ...(chunks.length > 0 && { body: changed(chunks, instead) }),
    });
    const text = await answer.text();
    if (told instanceof Promise) await told;
    if (told === -1) response.destroy();
    else setTimeout(() => response.writeHead(answer.status).end(text), Number(told) || 0);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function changed(chunks: readonly Buffer[], instead: object | undefined): string {
  const text = Buffer.concat(chunks).toString();
  return instead === undefined ? text : JSON.stringify({ ...JSON.parse(text), ...instead });
}

/** Until it works again, and how long that took. */
async function recovery(attempt: () => Promise<unknown>): Promise<number> {
  const startedAt = Date.now();
  await expect
    .poll(
      () =>
        attempt().then(
          () => "ok",
          ({ code }) => code,
        ),
      { interval: 100 },
    )
    .toBe("ok");
  return Date.now() - startedAt;
}

test.each([
  [307, "vault_standby"],
  [400, "vault_role_unknown"],
  [403, "vault_denied"],
  [404, "vault_role_unknown"],
  [412, "vault_standby"],
  [429, "vault_quota"],
  [472, "vault_standby"],
  [473, "vault_standby"],
  [500, "vault_failed"],
  [502, "vault_failed"],
  [503, "vault_standby"],
])("%i is %s, and shows neither token nor body", async (status, code) => {
  let asked = 0;
  const address = await front(() => {
    asked += 1;
    return { status, headers: { location: "/v1/elsewhere", "retry-after": "7" } };
  });
  const client = await openVaultClient({ address, ca: null });
  onTestFinished(() => client.close());
  const error: unknown = await client
    .write("kv/data/x", { password: "hunter2" }, call)
    .catch((thrown) => thrown);
  expect(error).toMatchObject({ code, ...(status === 429 && { data: { retry_after: 7 } }) });
  expect(inspect(error, { depth: 9, showHidden: true }) + JSON.stringify(error)).not.toContain("hunter2");
  // A redirect is not followed: it would carry the token along.
  expect(asked).toBe(1);
});

test("unreachable, hanging, endless and foreign answers show no secret either", async () => {
  const addresses = {
    vault_unreachable: "http://127.0.0.1:1",
    vault_timeout: await front(() => 60_000),
  };
  for (const [code, address] of Object.entries(addresses)) {
    const client = await openVaultClient({ address, ca: null });
    const error: unknown = await client
      .write("kv/x", { password: "hunter2" }, { ...call, timeoutMs: 300 })
      .catch((thrown) => thrown);
    expect(error).toMatchObject({ code });
    expect(inspect(error, { depth: 9, showHidden: true })).not.toContain("hunter2");
    await client.close();
  }
});

test.each(["kv/../../sys/raw", "kv/%2e%2e/sys/raw", "kv/a b", "kv/&#x2F;..&#x2F;sys", "kv\\..\\sys"])(
  "a path that reads otherwise than it is written (%s) is never sent",
  async (path) => {
    const seen: string[] = [];
    const address = await front((url) => {
      seen.push(url);
      return { status: 200 };
    });
    const client = await openVaultClient({ address, ca: null });
    onTestFinished(() => client.close());
    await expect(client.read(path, call)).rejects.toMatchObject({ code: "vault_failed" });
    expect(seen).toEqual([]);
  },
);

test("a role that Vault does not have", async () => {
  const { credentials } = await aVaultStage(world);
  const asked = credentials.obtain({ source: "tickets", role: "nobody" }, ann, decision);
  await expect(asked).rejects.toMatchObject({ code: "vault_role_unknown" });
});

test("a token that somebody ended is replaced once, and its leases are let go of", async () => {
  const { credentials, entries } = await aVaultStage(world);
  const first = await credentials.obtain(reader, ann, decision);
  await world.endUserTokens();
  await credentials.obtain({ source: "search" }, ann, decision);
  expect(entries.map(({ event, reason }) => [event, reason])).toContainEqual([
    "revoked",
    "ended early by its source",
  ]);
  const second = await credentials.obtain(reader, ann, decision);
  expect(second.sha256).not.toBe(first.sha256);
});

test("a user whom Vault has disabled is refused", async () => {
  const { credentials } = await aVaultStage(world);
  const eve = principalOf({ subject: "eve" });
  const lease = await credentials.obtain(reader, eve, decision);
  const { body } = await world.bao.ask("LIST", "identity/entity/id");
  const ids: [string, { aliases?: { name: string }[] }][] = Object.entries(body.data.key_info);
  const [id] = ids.find(([, { aliases }]) => aliases?.some(({ name }) => name === "acme/eve")) ?? [];
  await world.bao.set(`identity/entity/id/${id}`, { disabled: true });
  await lease.revoke();
  await expect(credentials.obtain(reader, eve, decision)).rejects.toMatchObject({
    code: "vault_login_refused",
  });
});

test("a token that lives too long, or cannot be revoked, is not taken", async () => {
  const { credentials } = await aVaultStage(world);
  for (const change of [{ token_ttl: "1h" }, { token_ttl: "2m", token_type: "batch" }]) {
    await world.bao.set("auth/jwt-gw/role/mcp", { ...LOGIN_ROLE, ...change });
    await expect(credentials.obtain(reader, ann, decision)).rejects.toMatchObject({
      code: "vault_login_refused",
    });
  }
  await world.bao.set("auth/jwt-gw/role/mcp", { ...LOGIN_ROLE, token_ttl: "2m", token_type: "service" });
  await credentials.obtain(reader, ann, decision);
});

test("a lease is not taken for alive longer than the token that it hangs on", async () => {
  onTestFinished(() => world.bao.set("auth/jwt-gw/role/mcp", { ...LOGIN_ROLE, token_ttl: "2m" }));
  await world.bao.set("auth/jwt-gw/role/mcp", { ...LOGIN_ROLE, token_ttl: "20s" });
  const { credentials } = await aVaultStage(world);
  const lease = await credentials.obtain(reader, user(90), decision);
  expect(lease.expires).toBeLessThanOrEqual(Date.now() + 20_000);
});

test("a lease that Vault ended early is not renewed for ever, but replaced", async () => {
  const { credentials, entries } = await aVaultStage(world);
  const brief = { source: "tickets", role: "brief", ttl: 3 };
  const lease = await credentials.obtain(brief, ann, decision);
  lease.hold?.();
  for (const id of await world.leases("database/creds/acme.brief/")) {
    await world.bao.set("sys/leases/revoke", { lease_id: id, sync: true });
  }
  await expect.poll(() => entries.map(({ reason }) => reason)).toContain("ended early by its source");
  expect(await credentials.obtain(brief, ann, decision)).not.toBe(lease);
});

test("a lease ends with its run while Vault is asked to renew it, and what Vault then made of it is revoked", async () => {
  const { promise: released, resolve: release } = event();
  const address = await front((path) => (path.includes("leases/renew") ? released : 0));
  const { credentials, events } = await aVaultStage({
    config: { ...world.config, address, timeoutMs: 60_000 },
  });
  const run = { id: "r", expires: Math.ceil(Date.now() / 1000) + 4 };
  const lease = await credentials.obtain(reader, principalOf({ run }), decision);
  lease.hold?.();
  await expect.poll(() => lease.ended?.aborted).toBe(true);
  expect(Date.now() - run.expires * 1000).toBeLessThan(10_000);
  await expect.poll(events).toEqual(["minted", "revoked"]);
  release();
  expect(await world.leases("database/creds/acme.reader/")).toEqual([]);
});

test("a lease whose renewal was never answered may live on at Vault: it is revoked, and not taken for over", async () => {
  const address = await front((path) => (path.includes("leases/renew") ? -1 : 0));
  const { credentials, events } = await aVaultStage({ config: { ...world.config, address } });
  // It hangs on a token that lives on.
  await credentials.obtain(reader, ann, decision);
  await credentials.obtain({ source: "tickets", role: "brief", ttl: 3 }, ann, decision);
  await expect.poll(events).toContain("revoked");
  expect(events()).not.toContain("dropped");
  expect(await world.leases("database/creds/acme.brief/")).toEqual([]);
});

test("a slow mount: the deadline is kept, the late role revoked, and the other tenant notices nothing", async () => {
  const { promise: released, resolve: release } = event();
  const address = await front((path) => (path.includes("creds/acme") ? released : 0));
  const config = { ...world.config, address, timeoutMs: 3000 };
  const { credentials } = await aVaultStage({ config });
  await credentials.obtain({ source: "search" }, ann, decision);
  const slow = Array.from({ length: 16 }, (_, index) => {
    const asked = credentials.obtain(reader, user(index), decision);
    return expect(asked).rejects.toMatchObject({ code: "vault_timeout" });
  });
  await credentials.obtain(reader, globexAnn, decision);
  await Promise.all(slow);
  release();
  await expect.poll(() => world.leases("database/creds/acme.reader/")).toEqual([]);
});

test("a gateway that never reached Vault finds it when it comes", async () => {
  let away = true;
  const address = await front(() => (away ? { status: 503 } : 0));
  const { credentials } = await aVaultStage({ config: { ...world.config, address } });
  for (let fault = 0; fault < 4; fault += 1)
    await expect(credentials.obtain(reader, ann, decision)).rejects.toMatchObject({ code: "vault_standby" });
  away = false;
  expect(await recovery(() => credentials.obtain(reader, ann, decision))).toBeLessThan(10_000);
});

test("a server that is back is found back although the first to ask waits for a mount that hangs", async () => {
  let away = true;
  const address = await front((path) => {
    if (away) return { status: 503 };
    return path.includes("creds/acme") ? 60_000 : 0;
  });
  const config = { ...world.config, address, timeoutMs: 1500 };
  const { credentials } = await aVaultStage({ config });
  for (let fault = 0; fault < 4; fault += 1)
    await expect(credentials.obtain(reader, ann, decision)).rejects.toMatchObject({ code: "vault_standby" });
  away = false;
  const stuck = setInterval(() => void credentials.obtain(reader, ann, decision).catch(() => {}), 50);
  onTestFinished(() => clearInterval(stuck));
  await new Promise((resolve) => setTimeout(resolve, 1000));
  expect(await recovery(() => credentials.obtain(reader, globexAnn, decision))).toBeLessThan(10_000);
});

test("a lease that comes late is revoked until it is gone, and all of it is on record", async () => {
  let refusals = 1;
  const { promise: released, resolve: release } = event();
  const address = await front((path) => {
    if (path.includes("leases/revoke") && refusals-- > 0) return { status: 503 };
    return path.includes("creds/acme") ? released : 0;
  });
  const { credentials, entries } = await aVaultStage({ config: { ...world.config, address } });
  await credentials.obtain({ source: "search" }, ann, decision);
  const before = entries.length;
  const late = { ...decision, decisionId: "late" };
  await expect(credentials.obtain(reader, ann, late)).rejects.toMatchObject({ code: "vault_timeout" });
  release();
  const told = () => entries.slice(before).map(({ event, reason }) => `${event} ${reason}`.trim());
  await expect
    .poll(told)
    .toEqual([
      "mint_failed vault_timeout",
      "minted",
      "revocation_failed vault_standby",
      "revoked it came after its deadline",
    ]);
  expect(await world.leases("database/creds/acme.reader/")).toEqual([]);
  for (const entry of entries.slice(before)) {
    expect(entry).toMatchObject({ decision: "late", tenant: "acme", subject: "ann", role: "reader" });
  }
  const ids = entries.slice(before).map(({ lease_sha256 }) => lease_sha256);
  expect(ids).toEqual(["", ids[1], ids[1], ids[1]]);
});

test("a role whose making was never answered is on record as an attempt, and ends by itself", async () => {
  const address = await front((path) => (path.includes("creds/acme.brief") ? -1 : 0));
  const { credentials, entries } = await aVaultStage({ config: { ...world.config, address } });
  const asked = credentials.obtain({ source: "tickets", role: "brief", ttl: 3 }, ann, decision);
  await expect(asked).rejects.toMatchObject({ code: "vault_unreachable" });
  expect(entries).toMatchObject([
    { event: "mint_failed", decision: "d1", role: "brief", lease_sha256: "", reason: "vault_unreachable" },
  ]);
  expect(await world.leases("database/creds/acme.brief/")).toHaveLength(1);
  await expect.poll(() => world.leases("database/creds/acme.brief/")).toEqual([]);
});

test("a role that cannot be sent to its upstream is revoked at once, and on record", async () => {
  const inject = { header: { name: "authorization", scheme: "bearer", field: "absent" } } as const;
  const path = "database/creds/{tenant}.{role}";
  const shape = { type: "vault-dynamic", vault: "main", path, ttl: 60, upstreams: ["crm"] } as const;
  const { credentials, events } = await aVaultStage(world, { sources: { tickets: { ...shape, inject } } });
  const asked = credentials.obtain(reader, ann, decision);
  await expect(asked).rejects.toMatchObject({ code: "credential_unavailable" });
  await expect.poll(events).toEqual(["minted", "mint_failed", "revoked"]);
  expect(await world.leases("database/creds/acme.reader/")).toEqual([]);
});

test("a quota: the tenant waits as long as Vault says, and the other does not", async () => {
  await world.bao.set("sys/quotas/config", { enable_rate_limit_response_headers: true });
  await world.bao.set("sys/quotas/rate-limit/db", {
    path: "database/creds/acme.reader",
    rate: 1,
    interval: "2s",
  });
  onTestFinished(async () => void (await world.bao.ask("DELETE", "sys/quotas/rate-limit/db")));
  const { credentials } = await aVaultStage(world);
  await credentials.obtain(reader, user(1), decision);
  const refused = await credentials.obtain(reader, user(2), decision).catch((thrown) => thrown);
  expect(refused).toMatchObject({ code: "vault_quota", data: { retry_after: expect.any(Number) } });
  await credentials.obtain(reader, globexAnn, decision);
  expect(await recovery(() => credentials.obtain(reader, user(2), decision))).toBeLessThan(10_000);
});

test("the target database is down: a code of its own, and nothing left when it is back", async () => {
  const pool = await aVaultWorld();
  onTestFinished(() => pool.close());
  const { credentials } = await aVaultStage(pool);
  const lease = await credentials.obtain(reader, ann, decision);
  await pool.postgres.stop();
  await expect(credentials.obtain(reader, user(1), decision)).rejects.toMatchObject({ code: "vault_failed" });
  await lease.revoke();
  await pool.postgres.restart();
  await expect.poll(() => pool.leases()).toEqual([]);
  expect(await pool.roles()).toEqual([]);
});

test("namespaces: each tenant in its own, a locked one refused alone", async () => {
  const { bao, postgres, config } = world;
  await bao.set("sys/namespaces/tenants", {});
  for (const tenant of ["acme", "globex"]) {
    await bao.set(`sys/namespaces/${tenant}`, {}, "tenants");
    const namespace = `tenants/${tenant}`;
    await setUpPolicy(bao, await setUpLogin(bao, { namespace }), namespace);
    await setUpDatabaseMount(bao, postgres, namespace);
  }
  const { credentials } = await aVaultStage({ config: { ...config, namespace: "tenants/{tenant}" } });
  await credentials.obtain(reader, ann, decision);
  const listed = (tenant: string) =>
    bao.ask("LIST", "sys/leases/lookup/database/creds/acme.reader", undefined, {
      "x-vault-namespace": `tenants/${tenant}`,
    });
  expect((await listed("acme")).body.data.keys).toHaveLength(1);
  expect((await listed("globex")).status).toBe(404);

  await bao.set("sys/namespaces/api-lock/lock/acme", {}, "tenants");
  const locked = credentials.obtain(reader, user(1), decision);
  await expect(locked).rejects.toMatchObject({ code: "vault_tenant_locked" });
  await credentials.obtain(reader, globexAnn, decision);
  const { body } = await bao.ask("GET", "sys/namespaces/acme", undefined, { "x-vault-namespace": "tenants" });
  expect(body.data.path).toBe("tenants/acme/");
  const unlocked = await bao.ask(
    "POST",
    "sys/namespaces/api-lock/unlock/acme",
    {},
    { "x-vault-namespace": "tenants" },
  );
  expect(unlocked.status).toBeLessThan(300);
  expect(await recovery(() => credentials.obtain(reader, user(1), decision))).toBeLessThan(10_000);
  await credentials.close();
  expect((await listed("acme")).status).toBe(404);
});

test("a tenant's sealed namespace is that tenant's fault alone, and works again when it is unsealed", async () => {
  const { bao, postgres, config } = world;
  await bao.ask("POST", "sys/namespaces/own-seals", {});
  const within = { "x-vault-namespace": "own-seals" };
  const seal = 'seal "shamir" {\n  shares = 1\n  threshold = 1\n}';
  const { body } = await bao.ask("POST", "sys/namespaces/acme", { seal }, within);
  const [key] = body.data.key_shares;
  await bao.set("sys/namespaces/globex", {}, "own-seals");
  await bao.set("sys/namespaces/acme/unseal", { key }, "own-seals");
  for (const namespace of ["own-seals/acme", "own-seals/globex"]) {
    await setUpPolicy(bao, await setUpLogin(bao, { namespace }), namespace);
    await setUpDatabaseMount(bao, postgres, namespace);
  }
  const { credentials } = await aVaultStage({ config: { ...config, namespace: "own-seals/{tenant}" } });
  await credentials.obtain(reader, ann, decision);
  await bao.set("sys/namespaces/acme/seal", {}, "own-seals");
  // More of them than the faults after which a server is left alone.
  for (let index = 1; index <= 6; index += 1) {
    const asked = credentials.obtain(reader, user(index), decision);
    await expect(asked).rejects.toMatchObject({ code: "vault_tenant_locked" });
    await credentials.obtain(reader, principalOf({ tenant: "globex", subject: `g-${index}` }), decision);
  }
  await bao.set("sys/namespaces/acme/unseal", { key }, "own-seals");
  await credentials.obtain(reader, user(1), decision);
});

test("a certificate ends with its run, and one that Vault made to live longer is refused", async () => {
  const run = { id: "r", expires: Math.floor(Date.now() / 1000) + 20 };
  const { credentials } = await aVaultStage(world);
  const lease = await credentials.obtain({ source: "mesh" }, principalOf({ run }), decision);
  expect(lease.expires).toBeLessThanOrEqual(run.expires * 1000);
  const address = await front(() => 0, { instead: { ttl: undefined } });
  const heedless = await aVaultStage({ config: { ...world.config, address } });
  const validities: number[] = [];
  for (const principal of [principalOf({ run }), ann]) {
    const asked = heedless.credentials.obtain({ source: "mesh" }, principal, decision);
    await expect(asked).rejects.toMatchObject({
      code: "credential_refused",
      reason: "vault's certificates of this role live longer than is permitted",
    });
    validities.push(heedless.entries.at(-3)?.expires ?? 0);
  }
  // What was made all the same is on record, with its own end.
  expect(heedless.events()).toEqual(["minted", "dropped", "mint_failed", "minted", "dropped", "mint_failed"]);
  expect(Math.min(...validities)).toBeGreaterThan(Date.now() + 200_000);
});

test("a certificate that names another user is nobody's here", async () => {
  const address = await front(() => 0, { instead: { uri_sans: "spiffe://gw/tenant/acme/bob" } });
  const { credentials, events } = await aVaultStage({ config: { ...world.config, address } });
  const asked = credentials.obtain({ source: "mesh" }, ann, decision);
  await expect(asked).rejects.toMatchObject({ code: "vault_failed" });
  expect(events()).not.toContain("minted");
});

test("a server that knows no namespaces, and would serve every tenant from its root, is not logged in to", async () => {
  const address = await front(() => 0, { withoutNamespaces: true });
  const config = { ...world.config, address, namespace: "tenants/{tenant}" };
  const { credentials } = await aVaultStage({ config });
  const asked = credentials.obtain(reader, ann, decision);
  await expect(asked).rejects.toMatchObject({ code: "vault_login_refused" });
});
