import {
  appendFileSync,
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import { verifyLog } from "../../src/audit/read.ts";
import { decide, openLog, outcomeOf, records, scratch } from "./support.ts";

const segments = (path: string) =>
  readdirSync(path)
    .filter((name) => name.endsWith(".jsonl"))
    .sort();

/** A closed log of `count` denials and the paths of its segments. */
async function aLog(count: number, segmentBytes = 1 << 20): Promise<{ path: string; files: string[] }> {
  const path = scratch();
  const log = await openLog(path, { segmentBytes });
  for (let index = 0; index < count; index += 1)
    await decide(log, { rpc_id: index, effect: "deny", code: "not_found" });
  await log.close();
  return { path, files: segments(path).map((name) => join(path, name)) };
}

function alter(file: string, change: (bytes: Buffer) => Buffer): void {
  writeFileSync(file, change(readFileSync(file)));
}

test("a torn last line is dropped and the log goes on", async () => {
  const {
    path,
    files: [file = ""],
  } = await aLog(3);
  const size = readFileSync(file).length;
  truncateSync(file, size - 10);
  const log = await openLog(path);
  await decide(log, { rpc_id: "next", effect: "deny", code: "not_found" });
  const found = await records(path);
  expect(found.map(({ seq }) => seq)).toEqual([2, 3, 4]);
  expect(found.at(-1)).toMatchObject({ rpc_id: "next" });
});

test("a segment that had only begun is begun again", async () => {
  const { path } = await aLog(5);
  const { last } = (await verifyLog(path)) as { last: number };
  writeFileSync(join(path, `${String(last + 1).padStart(12, "0")}.jsonl`), '{"v":1,"seq":');
  const log = await openLog(path, { segmentBytes: 64 });
  await decide(log);
  expect(await verifyLog(path)).toMatchObject({ ok: true, last: last + 2 });
});

test("a bad line in the middle refuses start, naming file and byte", async () => {
  const {
    path,
    files: [file = ""],
  } = await aLog(5);
  const at = readFileSync(file, "latin1").split("\n").slice(0, 3).join("\n").length + 1;
  alter(file, (bytes) => bytes.fill("X", at + 100, at + 101));
  await expect(openLog(path)).rejects.toMatchObject({
    code: "audit_unavailable",
    reason: `the decision log is damaged: 000000000001.jsonl:4: byte ${at}: the line does not match its checksum`,
  });
  expect(await verifyLog(path)).toMatchObject({ ok: false, file: "000000000001.jsonl", row: 4, offset: at });
  await expect(records(path)).rejects.toMatchObject({ code: "audit_unavailable" });
});

test("a log that was refused is not held by who tried to open it", async () => {
  const { path, files } = await aLog(3);
  alter(files[0] ?? "", (bytes) => Buffer.concat([Buffer.from("x"), bytes]));
  for (const _ of ["first", "again"])
    await expect(openLog(path)).rejects.toMatchObject({ reason: expect.stringContaining("damaged") });
});

test("a whole last line with a wrong checksum refuses start", async () => {
  const {
    path,
    files: [file = ""],
  } = await aLog(5);
  alter(file, (bytes) => bytes.fill("X", bytes.length - 100, bytes.length - 99));
  await expect(openLog(path)).rejects.toMatchObject({ code: "audit_unavailable" });
});

test("a last line whose newline was altered is not taken for a torn one", async () => {
  const {
    path,
    files: [file = ""],
  } = await aLog(5);
  alter(file, (bytes) => bytes.fill("X", bytes.length - 1));
  await expect(openLog(path)).rejects.toMatchObject({ code: "audit_unavailable" });
});

test("a line taken out, doubled or moved refuses start", async () => {
  const changes: ((lines: string[]) => string[])[] = [
    (lines) => lines.toSpliced(2, 1),
    (lines) => lines.toSpliced(2, 0, lines[2] ?? ""),
    (lines) => [lines[0] ?? "", lines[2] ?? "", lines[1] ?? "", ...lines.slice(3)],
  ];
  for (const change of changes) {
    const {
      path,
      files: [file = ""],
    } = await aLog(5);
    const lines = readFileSync(file, "utf8").trimEnd().split("\n");
    writeFileSync(file, `${change(lines).join("\n")}\n`);
    await expect(openLog(path)).rejects.toMatchObject({ code: "audit_unavailable" });
  }
});

test("a missing, shortened or lengthened segment in the middle refuses start", async () => {
  for (const harm of [
    (file: string) => rmSync(file),
    (file: string) => truncateSync(file, 700),
    (file: string) => truncateSync(file, 0),
    (file: string) => appendFileSync(file, '{"v":1'),
    // But its last newline: more may have stood there.
    (file: string) => truncateSync(file, readFileSync(file).length - 1),
  ]) {
    const { path, files } = await aLog(12, 1500);
    expect(files.length).toBeGreaterThan(3);
    harm(files[1] ?? "");
    await expect(openLog(path)).rejects.toMatchObject({ code: "audit_unavailable" });
    expect(await verifyLog(path)).toMatchObject({ ok: false });
  }
});

test("a segment may end with a line of any length", async () => {
  const path = scratch();
  const log = await openLog(path, { segmentBytes: 1024 });
  for (const length of [200_000, 1])
    await decide(log, { arguments: { note: "x".repeat(length) }, effect: "deny", code: "not_found" });
  await log.close();
  expect(segments(path)).toHaveLength(2);
  await decide(await openLog(path));
  expect(await verifyLog(path)).toMatchObject({ ok: true, segments: 2 });
});

test("old segments may be archived away from the front", async () => {
  const { path, files } = await aLog(12, 1500);
  rmSync(files[0] ?? "");
  await decide(await openLog(path));
  expect(await verifyLog(path)).toMatchObject({ ok: true });
});

test("an allowed call without an outcome is closed as unknown, also if its segment was left long ago", async () => {
  const path = scratch();
  const log = await openLog(path, { segmentBytes: 2000 });
  const orphan = await decide(log);
  for (let index = 0; index < 10; index += 1) log.outcome(outcomeOf(await decide(log)));
  await decide(log, { effect: "deny", code: "not_found" });
  await decide(log, { target: null, method: "tools/list" });
  await log.close();
  expect(segments(path).length).toBeGreaterThan(3);
  expect(await verifyLog(path)).toMatchObject({ open: [orphan] });

  const again = await openLog(path, { segmentBytes: 2000 });
  const unknown = await records(path, {
    filter: (record) => record.phase === "outcome" && record.status === "unknown",
  });
  expect(unknown).toMatchObject([{ decision: orphan, is_error: true }]);
  await again.close();
  await openLog(path);
  expect(await verifyLog(path)).toMatchObject({ ok: true, open: [] });
});

test("a log cut or altered anywhere opens only as a part of what it was, from its beginning", async () => {
  const {
    path,
    files: [file = ""],
  } = await aLog(8);
  const good = readFileSync(file);
  const before = await records(path);
  const harms = fc.oneof(
    fc.record({ kind: fc.constant("cut" as const), at: fc.nat(good.length) }),
    fc.record({ kind: fc.constant("flip" as const), at: fc.nat(good.length - 1), bit: fc.nat(7) }),
  );
  const copies = scratch();
  let run = 0;
  await fc.assert(
    fc.asyncProperty(harms, async (harm) => {
      run += 1;
      const copy = join(copies, String(run));
      mkdirSync(copy);
      const target = join(copy, "000000000001.jsonl");
      copyFileSync(file, target);
      if (harm.kind === "cut") truncateSync(target, harm.at);
      else
        alter(target, (bytes) => bytes.fill((bytes[harm.at] ?? 0) ^ (1 << harm.bit), harm.at, harm.at + 1));
      const opened = await openLog(copy).then(
        (log) => log.close().then(() => true),
        () => false,
      );
      // No single altered bit passes; a cut leaves the whole lines before it.
      expect(opened).toBe(harm.kind === "cut");
      if (opened) {
        const after = await records(copy);
        expect(after).toEqual(before.slice(0, after.length));
      }
    }),
    { numRuns: 300 },
  );
});
