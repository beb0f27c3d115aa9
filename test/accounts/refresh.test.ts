import { inspect } from "node:util";
import { beforeAll, describe, expect, test } from "vitest";
import { createAccounts } from "../../src/accounts/accounts.ts";
import type { Database } from "../../src/accounts/database.ts";
import type { Principal } from "../../src/domain.ts";
import { PortcullisError } from "../../src/lib/errors.ts";
import { Secret } from "../../src/lib/secret.ts";
import { aConnection, anEmbeddedDatabase, aPostgres } from "./databases.ts";
import { aWorld, later, type World } from "./world.ts";

const refreshes = (world: World): number => world.hub.asked.filter((path) => path === "/token").length - 1;

/** Ann's link, whose access tokens live so long (seconds), and then a minute. */
async function linked(database: Database, ttl: number, changes: Parameters<typeof aWorld>[1] = {}) {
  const world = await aWorld(database, changes);
  await world.accounts.shred("acme");
  const ann = world.principal("ann");
  world.hub.ttl = ttl;
  await world.link(ann);
  world.hub.ttl = 300;
  return { world, ann };
}

const tokenOf = async (world: Pick<World, "accounts">, principal: Principal) =>
  (await world.accounts.accessToken("hub", principal)).token.reveal();

describe.each([
  ["PostgreSQL in this process", async () => once(await anEmbeddedDatabase())],
  [
    "a PostgreSQL server",
    async () => {
      const url = await aPostgres();
      return () => aConnection(url);
    },
  ],
])("%s", (_, open) => {
  let connect: () => Promise<Database>;
  let database: Database;
  beforeAll(async () => {
    connect = await open();
    database = await connect();
  });

  test("20 who ask at once, on two replicas, use the refresh token once and get the same token", async () => {
    const { world, ann } = await linked(database, 5);
    const replica = await createAccounts({ ...world.options, database: await connect() });
    later(replica.close);
    const tokens = await Promise.all(
      Array.from({ length: 20 }, (_, at) => tokenOf(at % 2 === 0 ? world : { accounts: replica }, ann)),
    );
    expect(new Set(tokens).size).toBe(1);
    expect(refreshes(world)).toBe(1);
    expect(await world.hub.accepts(tokens[0] ?? "")).toBe(true);
  });

  test("a rotated refresh token is stored: refresh after refresh the link lives", async () => {
    const { world, ann } = await linked(database, 5);
    world.hub.ttl = 5;
    const seen = new Set<string>();
    for (let times = 0; times < 4; times += 1) seen.add(await tokenOf(world, ann));
    expect(seen.size).toBe(4);
    expect(refreshes(world)).toBe(4);
  });

  test("a token that serves is neither refreshed nor asked for", async () => {
    const { world, ann } = await linked(database, 300);
    expect(await tokenOf(world, ann)).toBe(await tokenOf(world, ann));
    expect(refreshes(world)).toBe(0);
  });

  test("a token near its end serves on while it is refreshed", async () => {
    const { world, ann } = await linked(database, 40);
    const first = await tokenOf(world, ann);
    await expect.poll(() => refreshes(world)).toBe(1);
    await expect.poll(async () => (await tokenOf(world, ann)) !== first).toBe(true);
    expect(refreshes(world)).toBe(1);
  });

  test("a rejected token is handed out no more", async () => {
    const { world, ann } = await linked(database, 300);
    const first = await world.accounts.accessToken("hub", ann);
    first.reject();
    expect(await tokenOf(world, ann)).not.toBe(first.token.reveal());
    expect(refreshes(world)).toBe(1);
  });

  test("a link that the provider has ended is broken, and the agent is told to connect again", async () => {
    const { world, ann } = await linked(database, 5);
    // Reuse of the old refresh token: the provider revokes the family.
    const [row] = await database.query("SELECT * FROM portcullis_account_links WHERE tenant = $1", ["acme"]);
    await tokenOf(world, ann);
    await database.query(
      "UPDATE portcullis_account_links SET sealed = $1, version = version + 1 WHERE tenant = $2",
      [String(row?.sealed), "acme"],
    );
    await expect(world.accounts.accessToken("hub", ann)).rejects.toMatchObject({
      code: "account_required",
      text: expect.stringContaining("has ended"),
    });
    expect(await world.accounts.list(ann)).toMatchObject([{ account: "hub", state: "broken" }]);
    const asked = refreshes(world);
    await expect(world.accounts.accessToken("hub", ann)).rejects.toMatchObject({ code: "account_required" });
    expect(refreshes(world)).toBe(asked);
    await world.link(ann);
    expect(await world.hub.accepts(await tokenOf(world, ann))).toBe(true);
  });

  test("a ciphertext moved to another user, account or tenant opens nothing there", async () => {
    const { world, ann } = await linked(database, 300);
    const bob = world.principal("bob");
    await database.query(
      `INSERT INTO portcullis_account_links (tenant, issuer, subject, account, sealed, scopes, version, linked_at, refreshed_at)
       SELECT tenant, issuer, 'bob', account, sealed, scopes, version, linked_at, refreshed_at
       FROM portcullis_account_links WHERE tenant = $1 AND subject = 'ann'`,
      ["acme"],
    );
    await database.query(
      `INSERT INTO portcullis_account_links (tenant, issuer, subject, account, sealed, scopes, version, linked_at, refreshed_at)
       SELECT 'globex', issuer, subject, account, sealed, scopes, version, linked_at, refreshed_at
       FROM portcullis_account_links WHERE tenant = $1 AND subject = 'ann' ON CONFLICT DO NOTHING`,
      ["acme"],
    );
    await database.query(
      `INSERT INTO portcullis_account_links (tenant, issuer, subject, account, sealed, scopes, version, linked_at, refreshed_at)
       SELECT tenant, issuer, subject, 'lab', sealed, scopes, version, linked_at, refreshed_at
       FROM portcullis_account_links WHERE tenant = $1 AND subject = 'ann'`,
      ["acme"],
    );
    for (const [account, thief] of [
      ["hub", bob],
      ["hub", world.principal("ann", "globex")],
      ["lab", ann],
    ] as const)
      await expect(world.accounts.accessToken(account, thief)).rejects.toMatchObject({
        code: "account_required",
      });
    expect(await world.hub.accepts(await tokenOf(world, ann))).toBe(true);
    await world.accounts.shred("globex");
  });

  test("what a link could be refreshed with has ended at the provider when it is unlinked", async () => {
    const { world, ann } = await linked(database, 5);
    const key = { tenant: "acme", issuer: world.issuer, subject: "ann", account: "hub" };
    const [row] = await database.query("SELECT * FROM portcullis_account_links WHERE tenant = $1", ["acme"]);
    expect(await world.accounts.unlink(key)).toEqual({ found: true, revoked: true });
    expect(world.hub.revoked).toEqual(["RefreshToken"]);
    await database.query(
      `INSERT INTO portcullis_account_links (tenant, issuer, subject, account, sealed, scopes, version, linked_at, refreshed_at)
       VALUES ('acme', $1, 'ann', 'hub', $2, '', 1, now(), now())`,
      [world.issuer, String(row?.sealed)],
    );
    await expect(world.accounts.accessToken("hub", ann)).rejects.toMatchObject({
      code: "account_required",
      text: expect.stringContaining("has ended"),
    });
  });

  test("a shredded tenant has no links, and its rows put back without their key open nothing", async () => {
    const { world, ann } = await linked(database, 300);
    const [row] = await database.query("SELECT * FROM portcullis_account_links WHERE tenant = $1", ["acme"]);
    expect(await world.accounts.shred("acme")).toEqual({ links: 1, keeper: "database" });
    await expect(world.accounts.accessToken("hub", ann)).rejects.toMatchObject({ code: "account_required" });
    await database.query(
      `INSERT INTO portcullis_account_links (tenant, issuer, subject, account, sealed, scopes, version, linked_at, refreshed_at)
       VALUES ('acme', $1, 'ann', 'hub', $2, '', 1, now(), now())`,
      [world.issuer, String(row?.sealed)],
    );
    await expect(world.accounts.accessToken("hub", ann)).rejects.toMatchObject({ code: "account_required" });
  });
});

describe("what fails", () => {
  let database: Database;
  beforeAll(async () => {
    database = await aConnection(await aPostgres());
  });

  test("while the provider is down nothing is lost, and no old token is handed out", async () => {
    const { world, ann } = await linked(database, 5);
    world.hub.fault = "down";
    const error: unknown = await tokenOf(world, ann).catch((thrown) => thrown);
    expect(error).toMatchObject({ code: "idp_unavailable", reason: expect.stringContaining("503") });
    world.hub.fault = "none";
    expect(await world.hub.accepts(await tokenOf(world, ann))).toBe(true);
  });

  test("while the provider is down a token that still serves is handed out", async () => {
    const { world, ann } = await linked(database, 40);
    world.hub.fault = "down";
    expect(await tokenOf(world, ann)).toBe(await tokenOf(world, ann));
  });

  test("a provider that refuses the gateway itself ends nobody's link", async () => {
    const { world, ann } = await linked(database, 5);
    const { hub } = world.options.providers;
    if (hub === undefined) throw new Error("no provider");
    const misconfigured = await createAccounts({
      ...world.options,
      providers: { hub: { ...hub, client_secret: new Secret("not the gateway's") } },
    });
    later(misconfigured.close);
    await expect(tokenOf({ accounts: misconfigured }, ann)).rejects.toMatchObject({ code: "idp_refused" });
    expect(await world.accounts.list(ann)).toMatchObject([{ account: "hub", state: "linked" }]);
    expect(await world.hub.accepts(await tokenOf(world, ann))).toBe(true);
  });

  test("a refresh that was stored, and only the answer lost, is no link made anew: its token is not revoked", async () => {
    let lost = 0;
    const query: Database["query"] = async (sql, parameters) => {
      const rows = await database.query(sql, parameters);
      if (!sql.includes("SET sealed") || lost > 0) return rows;
      lost += 1;
      throw new PortcullisError("account_unavailable");
    };
    const { world, ann } = await linked({ ...database, query }, 5);
    const before = refreshes(world);
    expect(await world.hub.accepts(await tokenOf(world, ann))).toBe(true);
    expect([lost, refreshes(world) - before]).toEqual([1, 1]);
    expect(world.hub.asked).not.toContain("/token/revocation");
  });

  test("a slow provider keeps its callers waiting for a bounded time, loses no token and holds up nobody else", async () => {
    const { world, ann } = await linked(database, 5, { patienceMs: 500 });
    await world.link(world.principal("bob"));
    const before = refreshes(world);
    world.hub.fault = "hang";
    const waiting = tokenOf(world, ann).catch((thrown) => thrown);
    await expect.poll(() => refreshes(world) - before).toBe(1);
    expect(await tokenOf(world, world.principal("bob"))).toMatch(/./);
    expect(await waiting).toMatchObject({ code: "idp_unavailable", reason: "hub did not refresh in time" });
    // The answer that comes late is kept.
    const asked = world.hub.asked.length;
    const sql = "SELECT version FROM portcullis_account_links WHERE tenant = 'acme' AND subject = 'ann'";
    const version = async () => Number((await database.query(sql, []))[0]?.version);
    const held = await version();
    world.hub.fault = "none";
    await expect.poll(version).toBe(held + 1);
    expect(await world.hub.accepts(await tokenOf(world, ann))).toBe(true);
    expect(world.hub.asked.length).toBe(asked);
  });

  test("keys that are away for some seconds after a refresh do not cost the link its only refresh token", async () => {
    let away = false;
    const query: Database["query"] = async (sql, parameters) => {
      if (away && sql.includes("portcullis_tenant_keys")) throw new PortcullisError("account_unavailable");
      return database.query(sql, parameters);
    };
    const { world, ann } = await linked({ ...database, query }, 5);
    const before = refreshes(world);
    world.hub.fault = "hang";
    const waiting = tokenOf(world, ann);
    await expect.poll(() => refreshes(world) - before).toBe(1);
    away = true;
    setTimeout(() => {
      away = false;
    }, 4_000);
    world.hub.fault = "none";
    expect(await world.hub.accepts(await waiting)).toBe(true);
    expect(await world.accounts.list(ann)).toMatchObject([{ account: "hub", state: "linked" }]);
  });

  test("a link that is removed while it is refreshed does not come back, and what was issued is revoked", async () => {
    const { world, ann } = await linked(database, 5);
    const before = refreshes(world);
    world.hub.fault = "hang";
    const waiting = world.accounts.accessToken("hub", ann).catch((thrown) => thrown);
    await expect.poll(() => refreshes(world) - before).toBe(1);
    await database.query("DELETE FROM portcullis_account_links WHERE tenant = $1", ["acme"]);
    world.hub.fault = "none";
    expect(await waiting).toMatchObject({ code: "account_required" });
    expect(world.hub.asked.at(-1)).toBe("/token/revocation");
    expect(await world.accounts.list(ann)).toEqual([]);
  });

  test("no token, secret or key is in the database in the clear, in an error or in the log", async () => {
    const { world, ann } = await linked(database, 5);
    const token = await tokenOf(world, ann);
    const rows = await database.query("SELECT * FROM portcullis_account_links", []);
    const keys = await database.query("SELECT * FROM portcullis_tenant_keys", []);
    const held = await world.accounts.accessToken("hub", ann);
    world.hub.fault = "down";
    held.reject();
    const errors: unknown[] = [await tokenOf(world, ann).catch((thrown) => thrown)];
    const seen = inspect([rows, keys, errors, world.logged, held, world.accounts], {
      depth: 12,
      showHidden: true,
    });
    for (const secret of [token, "third-party-client-secret", world.options.masterKey.reveal()])
      expect(seen + JSON.stringify([rows, errors, held])).not.toContain(secret);
  });
});

function once<T>(value: T): () => Promise<T> {
  return async () => value;
}
