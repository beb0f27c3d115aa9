import { randomBytes } from "node:crypto";
import { expect, test } from "vitest";
import { systemClock } from "../../src/lib/clock.ts";
import { createSeal } from "../../src/lib/seal.ts";
import { createEventStore } from "../../src/protocol/events.ts";
import { createMemoryStore } from "../../src/store/memory.ts";

const store = createMemoryStore({ clock: systemClock });
const open = (key = randomBytes(32)) =>
  createEventStore({ store, seal: createSeal(key), clock: systemClock, idleMs: 60_000 });

test("a client gets what it missed of the stream that broke, and nothing of others", async () => {
  const events = open();
  const primed = await events.append("s", "one", "");
  const first = await events.append("s", "one", '{"n":1}');
  await events.append("s", "two", '{"of":"two"}');
  const third = await events.append("s", "one", '{"n":12345678901234567890}');
  expect(await events.after("s", primed)).toEqual({
    stream: "one",
    events: [
      { id: first, text: '{"n":1}' },
      { id: third, text: '{"n":12345678901234567890}' },
    ],
  });
  expect((await events.after("s", first))?.events).toHaveLength(1);
  expect((await events.after("s", third))?.events).toEqual([]);
});

test("an event id is its session's alone", async () => {
  const events = open();
  const id = await events.append("ann", "one", "{}");
  await events.append("ann", "one", '{"secret":1}');
  expect(await events.after("eve", id)).toBeUndefined();
});

test("what was kept under another key is not given", async () => {
  const id = await open().append("keyed", "one", "");
  await open().append("keyed", "one", "{}");
  expect((await open().after("keyed", id))?.events).toEqual([]);
});

test("where something is gone, nothing is pretended: too many events, or too large", async () => {
  const events = open();
  const first = await events.append("many", "one", "{}");
  for (let i = 0; i < 256; i++) await events.append("many", "one", `{"n":${i}}`);
  expect((await events.after("many", first))?.events).toHaveLength(256);
  await events.append("many", "one", "{}");
  expect(await events.after("many", first)).toBeUndefined();
  const large = await events.append("large", "one", "");
  await events.append("large", "one", "x".repeat(1 << 20));
  expect(await events.after("large", large)).toBeUndefined();
});

test.each([
  "",
  "one",
  "one.",
  ".1",
  "one.-1",
  "one.01",
  "one.1e3",
  "one.999",
  "a b.1",
  "one.1.1",
  `${"s".repeat(65)}.1`,
  "💥",
])("an id that was never given is unknown: %j", async (id) => {
  const events = open();
  await events.append("forged", "one", "{}");
  expect(await events.after("forged", id)).toBeUndefined();
});
