import { expect, test } from "vitest";
import { Gathered, gather } from "../../src/lib/gathered.ts";
import { createLines } from "../../src/lib/lines.ts";
import { collected } from "../support/memory.ts";

test("chunks of any sizes become their bytes in order, and no chunk is written into", () => {
  const sizes = [0, 3, 1, 0, 1, 5000, 2, 70_000, 1];
  const source = Buffer.alloc(
    sizes.reduce((sum, size) => sum + size, 0),
    "0123456789",
  );
  const [gathered, before] = [new Gathered(), Buffer.from(source)];
  let at = 0;
  for (const size of sizes) {
    gathered.add(source.subarray(at, at + size));
    at += size;
    expect(gathered.take().equals(source.subarray(0, at))).toBe(true);
  }
  expect(gathered.length).toBe(source.length);
  expect(source.equals(before)).toBe(true);
});

test("a body is read up to its limit and no further, so that one without an end takes no more than that", async () => {
  let asked = 0;
  async function* endless() {
    for (;;) {
      asked += 1;
      yield Buffer.from("ab");
    }
  }
  async function* short() {
    yield Buffer.from("abc");
    yield Buffer.from("d");
  }
  expect(await gather(endless(), 5)).toBeUndefined();
  expect(asked).toBe(3);
  expect((await gather(short(), 4))?.toString()).toBe("abcd");
});

test("a line that comes a byte at a time takes the room of its bytes", () => {
  const lines: Buffer[] = [];
  const read = createLines({ maxBytes: 1 << 20, onLine: (line) => lines.push(line), onTooLong: () => {} });
  const before = collected();
  for (let n = 0; n < 200_000; n++) read(Buffer.from("a"));
  expect(collected() - before).toBeLessThan(4 << 20);
  read(Buffer.from("\n"));
  expect(lines[0]?.toString()).toBe("a".repeat(200_000));
});
