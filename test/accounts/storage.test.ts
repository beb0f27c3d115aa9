import { randomBytes } from "node:crypto";
import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspect } from "node:util";
import { beforeAll, describe, expect, test } from "vitest";
import { type Database, openEmbedded, openPostgres } from "../../src/accounts/database.ts";
import { createLinks, type Links, prepare } from "../../src/accounts/links.ts";
import { createEmbeddedKeys, type TenantKeys } from "../../src/accounts/tenant-keys.ts";
import { silentLog } from "../../src/lib/log.ts";
import { Secret } from "../../src/lib/secret.ts";
import { textBelow } from "../e2e/world.ts";
import { anEmbeddedDatabase, aPostgresDatabase } from "./databases.ts";

const MASTER = randomBytes(32);
const NOW = new Date("2026-11-22T12:00:00Z");
const change = { sealed: "two", scopes: "b", now: NOW };
let count = 0;

/** A link key that no other test has. */
function aKey(changes = {}) {
  count += 1;
  return {
    tenant: `t${count}`,
    issuer: "https://idp.example",
    subject: "ann",
    account: "hub",
    ...changes,
  };
}

describe.each([
  ["PostgreSQL in this process", anEmbeddedDatabase],
  ["a PostgreSQL server", aPostgresDatabase],
])("%s", (_, open) => {
  let database: Database;
  let links: Links;
  let keys: TenantKeys;

  beforeAll(async () => {
    database = await open();
    await Promise.all([prepare(database), prepare(database)]);
    links = createLinks(database);
    keys = createEmbeddedKeys(database, MASTER);
  });

  test("a link is found by all four parts of its key, and by no other", async () => {
    const key = aKey();
    await links.put(key, "one", "a b", NOW);
    expect(await links.find(key)).toEqual({
      account: "hub",
      sealed: "one",
      scopes: "a b",
      version: 1,
      linkedAt: NOW,
      refreshedAt: NOW,
    });
    for (const changes of [
      { tenant: "other" },
      { issuer: "https://other.example" },
      { subject: "bob" },
      { account: "lab" },
    ])
      expect(await links.find({ ...key, ...changes })).toBeUndefined();
  });

  test("a tenant's links are listed by user, all or one user's, and never another tenant's", async () => {
    const ann = aKey();
    const bob = { ...ann, subject: "bob" };
    await links.put(bob, "one", "a", NOW);
    await links.put(ann, "two", "", NOW);
    await links.put({ ...ann, issuer: "https://another.example" }, "three", "", NOW);
    await links.put(aKey(), "four", "", NOW);
    const found = await links.inTenant(ann.tenant, undefined);
    expect(found.map(({ subject, issuer, sealed }) => [subject, issuer, sealed])).toEqual([
      ["ann", "https://another.example", "three"],
      ["ann", "https://idp.example", "two"],
      ["bob", "https://idp.example", "one"],
    ]);
    expect(await links.inTenant(ann.tenant, "bob")).toMatchObject([{ ...bob, scopes: "a" }]);
    expect(await links.inTenant(ann.tenant, "' OR ''='")).toEqual([]);
  });

  test("names are values and never SQL", async () => {
    const key = aKey({ subject: `x'; DROP TABLE portcullis_account_links; --`, issuer: 'https://"\\' });
    await links.put(key, "one", "", NOW);
    expect(await links.of(key)).toHaveLength(1);
    expect(await links.remove(key)).toMatchObject({ sealed: "one" });
    expect(await links.remove(key)).toBeUndefined();
  });

  test("of many who claim a link at once, one gets it, until it settles", async () => {
    const key = aKey();
    await links.put(key, "one", "a", NOW);
    const claims = await Promise.all(
      Array.from({ length: 20 }, (_, at) => links.claim(key, 1, `holder-${at}`)),
    );
    expect(claims.filter(Boolean)).toHaveLength(1);
    const holder = `holder-${claims.indexOf(true)}`;
    expect(await links.settle(key, "holder-x", change)).toBe(false);
    expect(await links.settle(key, holder, change)).toBe(true);
    expect(await links.find(key)).toMatchObject({ sealed: "two", version: 2 });
    // What was read before the refresh is too old to refresh with.
    expect(await links.claim(key, 1, "late")).toBe(false);
    expect(await links.claim(key, 2, "next")).toBe(true);
    await links.release(key, holder);
    expect(await links.claim(key, 2, "too early")).toBe(false);
    await links.release(key, "next");
    expect(await links.claim(key, 2, "after")).toBe(true);
  });

  test("a claim of a replica that died ends by itself", async () => {
    const key = aKey();
    await links.put(key, "one", "a", NOW);
    expect(await links.claim(key, 1, "dead")).toBe(true);
    expect(await links.claim(key, 1, "alive")).toBe(false);
    await database.query(
      "UPDATE portcullis_account_links SET claimed_until = now() - interval '1 second' WHERE tenant = $1",
      [key.tenant],
    );
    expect(await links.claim(key, 1, "alive")).toBe(true);
    expect(await links.settle(key, "dead", change)).toBe(false);
  });

  test("a link that was made anew or removed cannot be settled by an old claim", async () => {
    const key = aKey();
    expect(await links.put(key, "one", "a", NOW)).toEqual({ replaced: false });
    await links.claim(key, 1, "old");
    expect(await links.put(key, "new", "a", NOW)).toEqual({ replaced: true });
    expect(await links.settle(key, "old", change)).toBe(false);
    await links.claim(key, 2, "older");
    await links.remove(key);
    expect(await links.settle(key, "older", change)).toBe(false);
  });

  test("what one tenant's key sealed for one link opens for no other tenant and no other link", async () => {
    const { tenant } = aKey();
    const sealed = await keys.encrypt(tenant, "mine", "hunter2");
    expect(sealed).not.toContain("hunter2");
    expect(await keys.decrypt(tenant, "mine", sealed)).toBe("hunter2");
    expect(await keys.decrypt(tenant, "yours", sealed)).toBeNull();
    await keys.encrypt("another", "mine", "x");
    expect(await keys.decrypt("another", "mine", sealed)).toBeNull();
    expect(await keys.decrypt("nobody", "mine", sealed)).toBeNull();
    const bytes = Buffer.from(sealed, "base64url");
    for (const at of [0, 12, bytes.length - 1]) {
      const tampered = Buffer.from(bytes);
      tampered.writeUInt8((bytes[at] ?? 0) ^ 1, at);
      expect(await keys.decrypt(tenant, "mine", tampered.toString("base64url"))).toBeNull();
    }
  });

  test("without the master key the database opens nothing", async () => {
    const { tenant } = aKey();
    const sealed = await keys.encrypt(tenant, "c", "hunter2");
    const thief = createEmbeddedKeys(database, randomBytes(32));
    expect(await thief.decrypt(tenant, "c", sealed)).toBeNull();
    await expect(thief.encrypt(tenant, "c", "x")).rejects.toMatchObject({ code: "account_unavailable" });
    const rows = await database.query("SELECT * FROM portcullis_tenant_keys WHERE tenant = $1", [tenant]);
    expect(rows).toHaveLength(1);
  });

  test("tenants' keys do not stand in for each other when their rows are swapped", async () => {
    const [one, other] = [aKey().tenant, aKey().tenant];
    const sealed = await keys.encrypt(one, "c", "hunter2");
    await keys.encrypt(other, "c", "x");
    await database.query(
      "UPDATE portcullis_tenant_keys SET wrapped = (SELECT wrapped FROM portcullis_tenant_keys WHERE tenant = $1) WHERE tenant = $2",
      [one, other],
    );
    expect(await keys.decrypt(other, "c", sealed)).toBeNull();
  });

  test("a destroyed key opens nothing any more, here and on another replica", async () => {
    const { tenant } = aKey();
    const replica = createEmbeddedKeys(database, MASTER);
    const sealed = await keys.encrypt(tenant, "c", "hunter2");
    expect(await replica.decrypt(tenant, "c", sealed)).toBe("hunter2");
    await keys.destroy(tenant);
    expect(await replica.decrypt(tenant, "c", sealed)).toBeNull();
    // A new key for the tenant is another one.
    await keys.encrypt(tenant, "c", "x");
    expect(await keys.decrypt(tenant, "c", sealed)).toBeNull();
  });

  test("many first encryptions of a tenant share one key", async () => {
    const { tenant } = aKey();
    const sealed = await Promise.all(
      Array.from({ length: 10 }, (_, at) => keys.encrypt(tenant, "c", `${at}`)),
    );
    const opened = await Promise.all(sealed.map((one) => keys.decrypt(tenant, "c", one)));
    expect(opened).toEqual(Array.from({ length: 10 }, (_, at) => `${at}`));
  });
});

test("shredding leaves the key in no file of the embedded database; a copy from before opens with the master key", async () => {
  const folder = await mkdtemp(join(tmpdir(), "portcullis-"));
  const [here, copy] = [join(folder, "here"), join(folder, "copy")];
  const { tenant } = aKey();
  async function within<T>(
    at: string,
    use: (database: Database, keys: TenantKeys) => Promise<T>,
  ): Promise<T> {
    const database = await openEmbedded(at);
    try {
      await prepare(database);
      return await use(database, createEmbeddedKeys(database, MASTER));
    } finally {
      await database.close();
    }
  }
  try {
    const { sealed, wrapped, other } = await within(here, async ({ query }, keys) => {
      const other = await keys.encrypt("other", "c", "kept");
      const sealed = await keys.encrypt(tenant, "c", "hunter2");
      const sql = "SELECT wrapped FROM portcullis_tenant_keys WHERE tenant = $1";
      return { sealed, other, wrapped: String((await query(sql, [tenant]))[0]?.wrapped) };
    });
    await cp(here, copy, { recursive: true });
    expect(textBelow(here)).toContain(wrapped);
    await within(here, (_, keys) => keys.destroy(tenant));
    expect(textBelow(here)).not.toContain(wrapped);
    await within(here, async (_, keys) => {
      expect(await keys.decrypt(tenant, "c", sealed)).toBeNull();
      expect(await keys.decrypt("other", "c", other)).toBe("kept");
    });
    expect(await within(copy, (_, keys) => keys.decrypt(tenant, "c", sealed))).toBe("hunter2");
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

test("a database that is not there is said so, without its password", async () => {
  const database = await openPostgres(new Secret("postgres://u:hunter2@127.0.0.1:1/x"), silentLog);
  const error: unknown = await database.query("SELECT 1", []).catch((thrown) => thrown);
  expect(error).toMatchObject({
    code: "account_unavailable",
    reason: expect.stringContaining("ECONNREFUSED"),
  });
  expect(inspect(error, { depth: 9, showHidden: true })).not.toContain("hunter2");
  await database.close();
});
