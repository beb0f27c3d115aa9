import { expect, test } from "vitest";
import { createMemoryStore } from "../../src/store/memory.ts";

test("who joins or leaves a set does not pay for all who are in it", async () => {
  let looks = 0;
  const clock = () => {
    looks += 1;
    return 0;
  };
  const store = createMemoryStore({ clock });
  const members = Array.from({ length: 2000 }, (_, at) => `member ${at}`);
  for (const member of members) expect(await store.join("set", member, 1000, 2000)).toBe(true);
  expect(await store.join("set", "one too many", 1000, 2000)).toBe(false);
  for (const member of members) await store.leave("set", member);
  expect(looks).toBeLessThan(4 * members.length);
  expect(await store.members("set")).toEqual([]);
  await store.close();
});

test("whose life is over makes room in a full set", async () => {
  let now = 0;
  const store = createMemoryStore({ clock: () => now });
  expect(await store.join("set", "first", 10, 1)).toBe(true);
  now = 10;
  expect(await store.join("set", "second", 10, 1)).toBe(true);
  expect(await store.members("set")).toEqual(["second"]);
  await store.close();
});
