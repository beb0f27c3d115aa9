import { setImmediate as turn } from "node:timers/promises";
import { expect, test } from "vitest";
import { createGroupCommit } from "../../src/audit/group.ts";

const line = (text: string) => Buffer.from(text);

/** A disk that takes each write when the test says so, and none after one that failed. */
function slowDisk() {
  const writes: { readonly text: string; done(): void; fail(): void }[] = [];
  const broken = new Error("EIO");
  let isBroken = false;
  const failures: unknown[] = [];
  const group = createGroupCommit({
    begin: async () => {},
    write: (bytes) =>
      new Promise((done, reject) => {
        const fail = () => {
          isBroken = true;
          reject(broken);
        };
        writes.push({ text: bytes.toString(), done, fail });
        if (isBroken) fail();
      }),
    onFailure: (error) => failures.push(error),
  });
  const written = async (count: number) => {
    while (writes.length < count) await turn();
    return writes[count - 1];
  };
  return { group, writes, failures, written };
}

test("what comes while a group is written forms the next one, and is counted until it is on disk too", async () => {
  const { group, written } = slowDisk();
  const first = group.add(line("a"));
  const one = await written(1);
  const second = group.add(line("bc"));
  expect(group.pending).toBe(3);
  one?.done();
  await first;
  expect(group.pending).toBe(2);
  const two = await written(2);
  expect([one?.text, two?.text]).toEqual(["a", "bc"]);
  two?.done();
  await second;
  expect(group.pending).toBe(0);
});

test("a write that fails refuses what it held, what waits and what comes, and nothing is written any more", async () => {
  const { group, writes, failures, written } = slowDisk();
  const first = group.add(line("a"));
  const one = await written(1);
  const waiting = [group.add(line("b")), group.add(line("c"))];
  one?.fail();
  const unavailable = { code: "audit_unavailable", cause: { message: "EIO" } };
  for (const lost of [first, ...waiting]) await expect(lost).rejects.toMatchObject(unavailable);
  group.addLater(line("d"));
  const late = group.add(line("e")).catch((error: unknown) => error);
  await group.drained();
  expect(writes.map(({ text }) => text)).toEqual(["a"]);
  expect(await late).toMatchObject(unavailable);
  expect([group.failure, failures]).toMatchObject([unavailable, [unavailable]]);
});
