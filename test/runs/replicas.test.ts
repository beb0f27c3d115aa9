import { randomBytes } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { SharedStore } from "../../src/domain.ts";
import { PortcullisError } from "../../src/lib/errors.ts";
import { silentLog } from "../../src/lib/log.ts";
import { createMemoryStore } from "../../src/store/memory.ts";
import { openValkeyStore } from "../../src/store/valkey.ts";
import { startValkey, type Valkey } from "../support/valkey.ts";
import { aReplica, closing, handClock, own, type Replica, startIssuer, type WorldOptions } from "./world.ts";

let valkey: Valkey;
beforeAll(async () => {
  valkey = await startValkey();
});
afterAll(() => valkey.close());

const open = () => openValkeyStore({ url: valkey.url, prefix: "test:", log: silentLog });

const STORES: readonly (readonly [string, () => Promise<readonly [SharedStore, SharedStore]>])[] = [
  [
    "memory",
    async () => {
      const store = createMemoryStore({ clock: handClock() });
      return [store, store];
    },
  ],
  ["valkey", () => Promise.all([open(), open()])],
];

async function two(
  stores: () => Promise<readonly [SharedStore, SharedStore]>,
  options: WorldOptions = {},
): Promise<readonly [Replica, Replica]> {
  const [one, other] = await stores();
  for (const store of new Set([one, other])) closing(store, (opened) => opened.close());
  const shared = {
    issuer: closing(await startIssuer(), (issuer) => issuer.close()),
    clock: handClock(),
    key: randomBytes(32),
    ...options,
  };
  return [await aReplica({ ...shared, store: one }), await aReplica({ ...shared, store: other })];
}

/** Resolves when a replica tells that a run is over. */
function endAt(replica: Replica): Promise<readonly [string, string]> {
  return new Promise((resolve) => {
    const stop = replica.runs.onEnd((id, why) => {
      stop();
      resolve([id, why]);
    });
  });
}

describe.each(STORES)("two replicas with a store in %s", (_, stores) => {
  test("a run that was begun at one is a run at the other, and is listed there", async () => {
    const [a, b] = await two(stores);
    const user = await own(a.issuer);
    const { id, token } = await a.begin(user, { description: "both" });
    expect((await b.who(token)).principal.run?.id).toBe(id);
    expect(await b.list(user)).toMatchObject([{ id, description: "both" }]);
  });

  test("a run that was ended at one is refused at the other from the next request on", async () => {
    const [a, b] = await two(stores);
    const user = await own(a.issuer);
    for (let round = 0; round < 20; round++) {
      const { id, token } = await a.begin(user);
      expect([await a.outcome(token), await b.outcome(token)]).toEqual(["in", "in"]);
      expect((await a.end(user, id)).status).toBe(204);
      expect(await b.outcome(token)).toBe("run_ended");
      expect(await a.outcome(token)).toBe("run_ended");
    }
  });

  test("what a run holds at either ends without another request of it", async () => {
    const [a, b] = await two(stores);
    const user = await own(a.issuer);
    const { id, token } = await a.begin(user);
    await Promise.all([a.who(token), b.who(token)]);
    const ended = Promise.all([endAt(a), endAt(b)]);
    await a.end(user, id);
    expect(await ended).toEqual(Array(2).fill([id, "ended"]));
  });

  test("a lost message only delays that: every run seen here is looked up again", async () => {
    const [a, b] = await two(stores, { sweepMs: 20 });
    const { id, token } = await a.begin(await own(a.issuer));
    await b.who(token);
    const ended = endAt(b);
    await a.store.delete(`run ${id}`);
    expect(await ended).toEqual([id, "ended"]);
  });

  test("of two that end a run at once one does", async () => {
    const [a, b] = await two(stores);
    const user = await own(a.issuer);
    const { id } = await a.begin(user);
    const both = await Promise.all([a.end(user, id), b.end(user, id)]);
    expect(both.map(({ status }) => status).sort()).toEqual([204, 404]);
  });

  test("a user's cap holds over both", async () => {
    const [a, b] = await two(stores, { section: { per_user: 3 } });
    const user = await own(a.issuer);
    const all = await Promise.all(Array.from({ length: 10 }, (_, at) => (at % 2 ? a : b).post(user, {})));
    expect(all.filter(({ status }) => status === 201)).toHaveLength(3);
    expect(all.filter(({ code }) => code === "too_many_runs")).toHaveLength(7);
  });
});

test("a run that expires ends what it holds", async () => {
  const gate = await aReplica({ sweepMs: 20 });
  const { id, token } = await gate.begin(await own(gate.issuer), { ttl: 5 });
  await gate.who(token);
  const ended = endAt(gate);
  gate.clock.advance(6);
  expect(await ended).toEqual([id, "expired"]);
});

test("a listener that throws keeps no other from hearing", async () => {
  const gate = await aReplica();
  const user = await own(gate.issuer);
  const { id, token } = await gate.begin(user);
  await gate.who(token);
  gate.runs.onEnd(() => {
    throw new Error("mine");
  });
  const ended = endAt(gate);
  await gate.end(user, id);
  expect(await ended).toEqual([id, "ended"]);
});

describe("while the store is away", () => {
  test("run tokens are refused and nothing begins; users' own tokens are taken; then all is well again", async () => {
    const [a, b] = await two(() => Promise.all([open(), open()]));
    const user = await own(a.issuer);
    const own2 = await own(a.issuer, { aud: "https://gate.example/mcp/support" });
    const { token } = await a.begin(user);
    expect(await b.outcome(token)).toBe("in");
    valkey.pause();
    try {
      expect(await b.outcome(token)).toBe("store_unavailable");
      expect(await b.outcome(own2)).toBe("in");
      expect(await a.post(user, {})).toMatchObject({ status: 503, code: "store_unavailable" });
    } finally {
      valkey.resume();
    }
    await expect.poll(() => b.outcome(token)).toBe("in");
  });

  test("what a run holds goes after half a minute", async () => {
    const [a, b] = await two(() => Promise.all([open(), open()]), { sweepMs: 20 });
    const { id, token } = await a.begin(await own(a.issuer));
    await b.who(token);
    const ended = endAt(b);
    valkey.pause();
    try {
      b.clock.advance(31);
      expect(await ended).toEqual([id, "unconfirmed"]);
    } finally {
      valkey.resume();
    }
  });

  test("the half minute counts from when the store last said that the run is under way", async () => {
    const clock = handClock();
    const real = closing(createMemoryStore({ clock }), (one) => one.close());
    let isAway = false;
    const get: SharedStore["get"] = (key) =>
      isAway ? Promise.reject(new PortcullisError("store_unavailable")) : real.get(key);
    const gate = await aReplica({ store: { ...real, get }, clock, sweepMs: 20 });
    const { id, token } = await gate.begin(await own(gate.issuer));
    await gate.who(token);
    let isOver = false;
    const ended = endAt(gate).finally(() => {
      isOver = true;
    });
    clock.advance(40);
    await gate.who(token);
    isAway = true;
    await delay(100);
    expect(isOver).toBe(false);
    clock.advance(31);
    expect(await ended).toEqual([id, "unconfirmed"]);
  });
});
