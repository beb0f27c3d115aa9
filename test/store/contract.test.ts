import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { SharedStore } from "../../src/domain.ts";
import { systemClock } from "../../src/lib/clock.ts";
import { silentLog } from "../../src/lib/log.ts";
import { createMemoryStore } from "../../src/store/memory.ts";
import { openValkeyStore } from "../../src/store/valkey.ts";
import { startValkey, type Valkey } from "../support/valkey.ts";

let valkey: Valkey;
beforeAll(async () => {
  valkey = await startValkey();
});
afterAll(() => valkey.close());

const LONG = 60_000;
const SHORT = 60;
/** Longer than a test is held up between two of its lines. */
const LIFE = 2000;
let count = 0;
/** A key of this test's own. */
const fresh = () => `key ${count++}`;

/** Two openings of one store, as two replicas have it. */
type Open = () => Promise<readonly [SharedStore, SharedStore]>;

const IMPLEMENTATIONS: readonly (readonly [string, Open])[] = [
  [
    "memory",
    async () => {
      const store = createMemoryStore({ clock: systemClock });
      return [store, store];
    },
  ],
  [
    "valkey",
    async () => {
      const open = () => openValkeyStore({ url: valkey.url, prefix: "test:", log: silentLog });
      return Promise.all([open(), open()]);
    },
  ],
];

const eventually = (check: () => Promise<boolean>) => expect.poll(check, { interval: 10 }).toBe(true);

describe.each(IMPLEMENTATIONS)("the store in %s", (_, open) => {
  let a: SharedStore;
  let b: SharedStore;
  beforeAll(async () => {
    [a, b] = await open();
  });
  afterAll(async () => {
    await a.close();
    await b.close();
  });

  test("what one replica sets another gets, byte for byte", async () => {
    const key = fresh();
    const value = 'ünï\0code\r\n"💥"';
    expect(await b.get(key)).toBeUndefined();
    await a.set(key, value, LONG);
    expect(await b.get(key)).toBe(value);
    expect(await b.delete(key)).toBe(true);
    expect(await a.delete(key)).toBe(false);
    expect(await a.get(key)).toBeUndefined();
  });

  test("a value ends with its life, and a touch gives it another", async () => {
    const [ending, longer, shorter] = [fresh(), fresh(), fresh()];
    await a.set(ending, "x", SHORT);
    await eventually(async () => (await b.get(ending)) === undefined);
    expect(await b.touch(ending, LONG)).toBeUndefined();
    await a.set(shorter, "y", LONG);
    expect(await b.touch(shorter, SHORT)).toBe("y");
    await eventually(async () => (await b.get(shorter)) === undefined);
    await a.set(longer, "z", LIFE);
    expect(await b.touch(longer, LONG)).toBe("z");
    await delay(LIFE);
    expect(await a.get(longer)).toBe("z");
  });

  test("of many that add one key at once, one does", async () => {
    const key = fresh();
    const added = await Promise.all(
      Array.from({ length: 20 }, (_, i) => (i % 2 ? a : b).add(key, `${i}`, LONG)),
    );
    expect(added.filter(Boolean)).toHaveLength(1);
    expect(await a.get(key)).toBe(String(added.indexOf(true)));
  });

  test("a key can be added again once its life is over", async () => {
    const key = fresh();
    await a.add(key, "old", SHORT);
    await eventually(() => b.add(key, "new", LONG));
    expect(await a.get(key)).toBe("new");
  });

  test("of many that replace the same value at once, one does", async () => {
    const key = fresh();
    await a.set(key, "before", LONG);
    const all = await Promise.all(
      Array.from({ length: 20 }, (_, i) => (i % 2 ? a : b).replace(key, "before", `${i}`, LONG)),
    );
    expect(all.filter(Boolean)).toHaveLength(1);
    expect(await b.get(key)).toBe(String(all.indexOf(true)));
    expect(await a.replace(fresh(), "nothing", "x", LONG)).toBe(false);
  });

  test("a set lets in no more than its cap, whoever races for it", async () => {
    const set = fresh();
    const joined = await Promise.all(
      Array.from({ length: 40 }, (_, i) => (i % 2 ? a : b).join(set, `m${i}`, LONG, 7)),
    );
    expect(joined.filter(Boolean)).toHaveLength(7);
    const members = await b.members(set);
    expect(members).toHaveLength(7);
    expect(await a.join(set, members[0] ?? "", LONG, 7)).toBe(true);
    await b.leave(set, members[0] ?? "");
    expect(await a.join(set, "new", LONG, 7)).toBe(true);
    expect(await a.join(set, "another", LONG, 7)).toBe(false);
  });

  test("a member whose life is over makes place; one that joins again lives on", async () => {
    const set = fresh();
    await a.join(set, "ending", SHORT, 2);
    await a.join(set, "renewed", SHORT, 2);
    await a.join(set, "renewed", LONG, 2);
    await eventually(() => b.join(set, "next", LONG, 2));
    expect([...(await a.members(set))].sort()).toEqual(["next", "renewed"]);
  });

  test("a set lives as long as its longest member", async () => {
    const set = fresh();
    await a.join(set, "long", LONG, 5);
    await a.join(set, "short", SHORT, 5);
    await eventually(async () => (await b.members(set)).length === 1);
    expect(await b.members(set)).toEqual(["long"]);
  });

  test("a log gives what followed a place, in order", async () => {
    const log = fresh();
    const limits = { entries: 10, bytes: 1000 };
    expect(await b.after(log, 0)).toEqual([]);
    expect(await a.append(log, "one", limits, LONG)).toBe(1);
    expect(await b.append(log, "two", limits, LONG)).toBe(2);
    expect(await a.append(log, "three", limits, LONG)).toBe(3);
    expect(await b.after(log, 1)).toEqual([
      { place: 2, value: "two" },
      { place: 3, value: "three" },
    ]);
    expect(await b.after(log, 3)).toEqual([]);
    expect(await b.after(log, 4)).toBeUndefined();
    expect(await b.after(fresh(), 1)).toBeUndefined();
  });

  test("a log that is deleted is gone whole, at every replica", async () => {
    const log = fresh();
    const limits = { entries: 10, bytes: 1000 };
    await a.append(log, "one", limits, LONG);
    expect([await b.delete(log), await a.delete(log)]).toEqual([true, false]);
    expect(await a.after(log, 1)).toBeUndefined();
    expect(await b.append(log, "new", limits, LONG)).toBe(1);
  });

  test("a log keeps to its limits of entries and bytes, and says so where something is gone", async () => {
    const log = fresh();
    const limits = { entries: 3, bytes: 10 };
    for (const value of ["a", "b", "c", "d"]) await a.append(log, value, limits, LONG);
    expect(await b.after(log, 0)).toBeUndefined();
    expect(await b.after(log, 1)).toHaveLength(3);
    await b.append(log, "123456789", limits, LONG);
    expect(await a.after(log, 2)).toBeUndefined();
    expect(await a.after(log, 3)).toEqual([
      { place: 4, value: "d" },
      { place: 5, value: "123456789" },
    ]);
    // Larger than the log: nothing is left of it, but places go on.
    expect(await a.append(log, "x".repeat(11), limits, LONG)).toBe(6);
    expect(await a.after(log, 5)).toBeUndefined();
    expect(await a.append(log, "y", limits, LONG)).toBe(7);
    expect(await a.after(log, 6)).toEqual([{ place: 7, value: "y" }]);
  });

  test("places of a log are each given once, whoever appends", async () => {
    const log = fresh();
    const limits = { entries: 100, bytes: 1000 };
    const places = await Promise.all(
      Array.from({ length: 30 }, (_, i) => (i % 2 ? a : b).append(log, "v", limits, LONG)),
    );
    expect([...places].sort((x, y) => x - y)).toEqual(Array.from({ length: 30 }, (_, i) => i + 1));
  });

  test("what is published reaches every subscriber of the channel, in order, and no other", async () => {
    const channel = fresh();
    const heard: string[][] = [[], [], []];
    const stops = await Promise.all([
      a.subscribe(channel, (message) => heard[0]?.push(message)),
      b.subscribe(channel, (message) => heard[1]?.push(message)),
      b.subscribe(fresh(), (message) => heard[2]?.push(message)),
    ]);
    const sent = Array.from({ length: 50 }, (_, i) => `${i}`);
    await Promise.all(sent.map((message) => a.publish(channel, message)));
    await eventually(async () => heard[0]?.length === 50 && heard[1]?.length === 50);
    expect(heard).toEqual([sent, sent, []]);
    await stops[1]?.();
    await a.publish(channel, "last");
    await eventually(async () => heard[0]?.at(-1) === "last");
    expect(heard[1]).toHaveLength(50);
  });

  test("it says that it is healthy", () => {
    expect([a.healthy, b.healthy]).toEqual([true, true]);
  });
});
