import { randomBytes } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { SharedStore } from "../../src/domain.ts";
import { PortcullisError } from "../../src/lib/errors.ts";
import { randomId } from "../../src/lib/ids.ts";
import { silentLog } from "../../src/lib/log.ts";
import { createSeal, type Seal } from "../../src/lib/seal.ts";
import { createMemoryStore } from "../../src/store/memory.ts";
import { openValkeyStore } from "../../src/store/valkey.ts";
import { createLedger } from "../../src/suspension/ledger.ts";
import { createSuspensions, type Suspensions } from "../../src/suspension/suspensions.ts";
import { handClock } from "../identity/issuer.ts";
import { startValkey, type Valkey } from "../support/valkey.ts";

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});
const folder = mkdtempSync(join(tmpdir(), "pc-suspensions-"));
let valkey: Valkey;
beforeAll(async () => {
  valkey = await startValkey();
});
afterAll(async () => {
  await valkey.close();
  rmSync(folder, { recursive: true });
});

const ACME = { tenant: "acme", reason: "stolen token", by: "root" };
const recorded = async () => {};
const key = randomBytes(32);
const KEPT = `suspensions ${createSeal(key).nameFor("suspensions")}`;
const aFile = () => join(folder, `${randomId()}.json`);
const text = (suspensions: readonly object[]) => JSON.stringify({ v: 1, suspensions });

function memory(): SharedStore {
  const store = createMemoryStore({ clock: Date.now });
  closers.push(() => store.close());
  return store;
}

async function shared(prefix: string): Promise<SharedStore> {
  const store = await openValkeyStore({ url: valkey.url, prefix, log: silentLog });
  closers.push(() => store.close());
  return store;
}

async function replica(
  store: SharedStore,
  more: { path?: string; clock?: () => number; sweepMs?: number; seal?: Seal } = {},
) {
  const { path = aFile(), clock = Date.now, sweepMs = 20, seal = createSeal(key) } = more;
  const opened = await createSuspensions({ path, store, seal, clock, log: silentLog, sweepMs });
  closers.push(() => opened.close());
  return { ...opened, path };
}

/** The code of the refusal, or "in". */
function outcome(suspensions: Suspensions, tenant = "acme"): string {
  try {
    suspensions.admit(tenant);
    return "in";
  } catch (thrown) {
    return thrown instanceof PortcullisError ? thrown.code : `foreign: ${thrown}`;
  }
}

const soon = (suspensions: Suspensions, code: string) =>
  expect.poll(() => outcome(suspensions), { interval: 10 }).toBe(code);

describe("one replica", () => {
  test("a suspended tenant is refused before the order is kept, and others go on", async () => {
    const one = await replica(memory());
    const ordered = one.suspend(ACME);
    expect([outcome(one), outcome(one, "globex")]).toEqual(["tenant_suspended", "in"]);
    expect(await ordered).toBe(true);
    expect(one.list()).toMatchObject([{ ...ACME, lifted: false }]);
  });

  test("it stays suspended after a restart, and so does what was lifted", async () => {
    const path = aFile();
    const before = await replica(memory(), { path });
    await before.suspend(ACME);
    await before.suspend({ ...ACME, tenant: "globex" });
    await before.resume({ ...ACME, tenant: "globex" }, recorded);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    const after = await replica(memory(), { path });
    expect([outcome(after), outcome(after, "globex")]).toEqual(["tenant_suspended", "in"]);
  });

  test.each([
    ["no JSON", "{"],
    ["of another format", '{"v":2,"suspensions":[]}'],
    ["not a list", '{"v":1,"suspensions":{}}'],
    ["torn", text([{ tenant: "acme", lifted: false }])],
  ])("it does not start with a file that is %s", async (_, content) => {
    const path = aFile();
    writeFileSync(path, content);
    await expect(replica(memory(), { path })).rejects.toMatchObject({
      code: "internal",
      reason: `suspensions in ${path} cannot be read`,
    });
    expect(readFileSync(path, "utf8")).toBe(content);
  });

  test("an order that cannot be written holds all the same, and is said not to be kept", async () => {
    const path = join(folder, "nowhere", "suspensions.json");
    const one = await replica(memory(), { path });
    await expect(one.suspend(ACME)).rejects.toMatchObject({
      reason: expect.stringContaining("cannot be written"),
    });
    expect(outcome(one)).toBe("tenant_suspended");
  });

  test("processes that share its folder hear of it by the file", async () => {
    const path = aFile();
    const [one, other] = [await replica(memory(), { path }), await replica(memory(), { path })];
    await one.suspend(ACME);
    await soon(other, "tenant_suspended");
    await other.resume(ACME, recorded);
    await soon(one, "in");
  });

  test("what its file tells a replica that starts, the others hear from it at once", async () => {
    const store = memory();
    const path = aFile();
    writeFileSync(path, text([{ ...ACME, lifted: false, at: 1 }]));
    await replica(store, { path, sweepMs: 1_000_000 });
    await soon(await replica(store, { sweepMs: 1_000_000 }), "tenant_suspended");
  });

  test("what cannot be recorded is not lifted", async () => {
    const one = await replica(memory());
    await one.suspend(ACME);
    await expect(one.resume(ACME, () => Promise.reject(new Error("no record")))).rejects.toThrow("no record");
    expect(outcome(one)).toBe("tenant_suspended");
  });

  test("a listener that fails keeps no other from ending what it holds", async () => {
    const one = await replica(memory());
    const ended: string[] = [];
    one.onSuspend(() => {
      throw new Error("mine");
    });
    one.onSuspend(async (tenant) => void ended.push(tenant));
    await one.suspend(ACME);
    expect(ended).toEqual(["acme"]);
  });

  test("an order is kept only when what the tenant held is let go", async () => {
    const one = await replica(memory());
    let isOver = false;
    one.onSuspend(async () => {
      await delay(50);
      isOver = true;
    });
    await one.suspend(ACME);
    expect(isOver).toBe(true);
  });

  test("an order answers the one before it, also within a millisecond and by a clock that went back", async () => {
    let now = 1000;
    const one = await replica(memory(), { clock: () => now });
    await one.suspend(ACME);
    await one.resume(ACME, recorded);
    expect(outcome(one)).toBe("in");
    now = 500;
    await one.suspend(ACME);
    expect(outcome(one)).toBe("tenant_suspended");
  });

  test("of two orders of one time that of the one that suspends holds, whichever is heard first", () => {
    const suspended = { ...ACME, at: 1, lifted: false };
    const lifted = { ...suspended, lifted: true };
    for (const heard of [
      [suspended, lifted],
      [lifted, suspended],
    ]) {
      const ledger = createLedger();
      for (const word of heard) ledger.take([word]);
      expect(ledger.get("acme")?.lifted).toBe(false);
      expect([ledger.equals([suspended]), ledger.equals([lifted]), ledger.equals([])]).toEqual([
        true,
        false,
        false,
      ]);
    }
  });
});

describe("two replicas with one Valkey", () => {
  const two = async (prefix: string, sweepMs = 60_000) => {
    const stores = await Promise.all([shared(prefix), shared(prefix)]);
    return [await replica(stores[0], { sweepMs }), await replica(stores[1], { sweepMs }), ...stores] as const;
  };

  test("the other replica refuses it too, ends what it holds, and serves it again", async () => {
    const [a, b] = await two("told:");
    const ended: string[] = [];
    b.onSuspend((tenant) => ended.push(tenant));
    expect(await a.suspend(ACME)).toBe(true);
    await soon(b, "tenant_suspended");
    expect([ended, b.list()]).toEqual([["acme"], a.list()]);
    await expect.poll(() => existsSync(b.path)).toBe(true);
    expect(readFileSync(b.path, "utf8")).toBe(readFileSync(a.path, "utf8"));
    expect(await b.resume(ACME, recorded)).toBe(true);
    await soon(a, "in");
  });

  test("a lost message only delays that", async () => {
    const [a, b, store] = await two("lost:", 20);
    store.publish = async () => {};
    await a.suspend(ACME);
    await soon(b, "tenant_suspended");
  });

  test("a replica that was down when it was told refuses it from its first request on", async () => {
    const [a] = await two("down:");
    await a.suspend(ACME);
    const late = await replica(await shared("down:"));
    expect(outcome(late)).toBe("tenant_suspended");
  });

  test("a store that lost everything is told again, and a replica without a file learns it", async () => {
    const [a, , store] = await two("wiped:", 20);
    await a.suspend(ACME);
    expect(await store.delete(KEPT)).toBe(true);
    const fresh = await replica(await shared("wiped:"));
    await soon(fresh, "tenant_suspended");
  });

  test("who can write into the store can lift nothing", async () => {
    const [a, b, store] = await two("forged:", 20);
    await a.suspend(ACME);
    await soon(b, "tenant_suspended");
    const lifted = [{ ...ACME, lifted: true, at: Date.now() + 60_000 }];
    await store.set(
      KEPT,
      createSeal(randomBytes(32)).seal("suspensions", lifted, Date.now() + 60_000),
      60_000,
    );
    await store.publish("suspensions changed", "");
    await expect.poll(() => store.get(KEPT)).not.toBe(undefined);
    const fresh = await replica(await shared("forged:"));
    await soon(fresh, "tenant_suspended");
    expect([outcome(a), outcome(b)]).toEqual(Array(2).fill("tenant_suspended"));
  });

  test("replicas with another key, as while it is changed, leave each other's words alone", async () => {
    const [a, b, store] = await two("rotated:", 20);
    const others = createSeal(randomBytes(32));
    const [c, d] = [
      await replica(await shared("rotated:"), { seal: others }),
      await replica(await shared("rotated:"), { seal: others }),
    ];
    await Promise.all([a.suspend(ACME), c.suspend({ ...ACME, tenant: "globex" })]);
    await soon(b, "tenant_suspended");
    await expect.poll(() => outcome(d, "globex")).toBe("tenant_suspended");
    const told: string[] = [];
    closers.push(await store.subscribe("suspensions changed", (message) => told.push(message)));
    // What the orders set off is over at some time; a quarrel would go on with each look into the store.
    const toldIn = async (ms: number) => {
      told.length = 0;
      await delay(ms);
      return told;
    };
    await expect.poll(() => toldIn(200)).toEqual([]);
  });

  test("of orders for two tenants at two replicas at once both hold everywhere", async () => {
    const [a, b] = await two("both:", 20);
    await Promise.all([a.suspend(ACME), b.suspend({ ...ACME, tenant: "globex" })]);
    for (const one of [a, b]) {
      await soon(one, "tenant_suspended");
      await expect.poll(() => outcome(one, "globex")).toBe("tenant_suspended");
    }
  });
});

describe("while the store is away", () => {
  test("it holds here, is said not to be told, nothing is lifted; when it is back the other replica learns it", async () => {
    const stores = await Promise.all([shared("away:"), shared("away:")]);
    const [a, b] = [await replica(stores[0]), await replica(stores[1])];
    valkey.pause();
    try {
      expect(await a.suspend(ACME)).toBe(false);
      expect([outcome(a), outcome(b)]).toEqual(["tenant_suspended", "in"]);
      await expect(a.resume(ACME, recorded)).rejects.toMatchObject({ code: "store_unavailable" });
      expect(outcome(a)).toBe("tenant_suspended");
    } finally {
      valkey.resume();
    }
    await soon(b, "tenant_suspended");
  });

  test("a store that answers late confirms what was when it was asked", async () => {
    const clock = handClock();
    const store = memory();
    const one = await replica(store, { clock, sweepMs: 60_000 });
    const touch = store.touch.bind(store);
    store.touch = async (...asked) => {
      const found = await touch(...asked);
      clock.advance(20);
      return found;
    };
    // Which looks once, and writes nothing that would cause another look.
    await one.resume(ACME, () => Promise.reject(new Error("not recorded"))).catch(() => {});
    clock.advance(11);
    expect(outcome(one)).toBe("store_unavailable");
  });

  test("a replica that starts serves nobody before it knows", async () => {
    valkey.pause();
    let late: Suspensions;
    try {
      late = await replica(await shared("start:"));
      expect(outcome(late)).toBe("store_unavailable");
    } finally {
      valkey.resume();
    }
    await soon(late, "in");
  });

  test("after half a minute nobody is served: somebody may have been suspended meanwhile", async () => {
    const clock = handClock();
    const one = await replica(await shared("patience:"), { clock });
    valkey.pause();
    try {
      clock.advance(30);
      expect(outcome(one)).toBe("in");
      clock.advance(1);
      expect(outcome(one)).toBe("store_unavailable");
    } finally {
      valkey.resume();
    }
    await soon(one, "in");
  });
});
