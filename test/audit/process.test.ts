import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  constants,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, expect, test } from "vitest";
import { verifyLog } from "../../src/audit/read.ts";
import { compiled, decide, later, openLog, records, scratch } from "./support.ts";

const FIXTURE = resolve(import.meta.dirname, "writer.fixture.mjs");
let dist = "";
beforeAll(async () => {
  dist = await compiled();
});
afterAll(() => rmSync(dist, { recursive: true, force: true }));

function startWriter(path: string, options: { segmentBytes?: number; limit?: number } = {}) {
  const { segmentBytes = 1 << 20, limit } = options;
  const command = [process.execPath, FIXTURE, dist, path, String(segmentBytes)];
  const [program = "", ...args] = limit === undefined ? command : ["prlimit", `--fsize=${limit}`, ...command];
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"] });
  let errors = "";
  child.stderr.on("data", (chunk) => {
    errors += chunk;
  });
  const closed = once(child, "close");
  later(async () => {
    child.kill("SIGKILL");
    await closed;
  });
  // What the kill cut off was not a whole line, so it is not counted as acknowledged.
  let out = "";
  child.stdout.on("data", (chunk) => {
    out += chunk;
  });
  const lines = (): string[] => out.split("\n").slice(0, -1);
  return { child, closed, lines, errors: () => errors };
}

const acknowledged = (lines: readonly string[]) =>
  lines.filter((line) => line.startsWith("ack ")).map((line) => line.slice(4));

test("kill -9 at any moment leaves a log that opens, with every acknowledged decision and no gap", async () => {
  const path = join(scratch(), "log");
  const expected: string[] = [];
  let torn = 0;
  for (let round = 0; round < 30; round += 1) {
    const writer = startWriter(path, { segmentBytes: 200_000 });
    writer.child.stdout.on("data", () => writer.lines().length > round * 5 && writer.child.kill("SIGKILL"));
    await writer.closed;
    expect(writer.errors()).toBe("");
    expected.push(...acknowledged(writer.lines()));
    const checked = await verifyLog(path);
    expect(checked).toMatchObject({ ok: true });
    torn += checked.ok && checked.torn > 0 ? 1 : 0;
  }
  await (await openLog(path)).close();

  const checked = await verifyLog(path);
  expect(checked).toMatchObject({ ok: true, first: 1, torn: 0, open: [] });
  const found = new Map<string, number>();
  for (const { id } of await records(path)) found.set(id, (found.get(id) ?? 0) + 1);
  expect(expected.length).toBeGreaterThan(300);
  expect(expected.filter((id) => found.get(id) !== 1)).toEqual([]);
  console.info(`30 kills: ${expected.length} acknowledged, ${torn} torn tails`);
});

test("a disk that takes no more bytes ends the log: what waits and what comes is refused, onFatal is called once", async () => {
  const path = join(scratch(), "log");
  const writer = startWriter(path, { limit: 100_000 });
  await writer.closed;
  expect(writer.errors()).toBe("");
  const lines = writer.lines();
  expect(lines.filter((line) => line.startsWith("fatal"))).toEqual(["fatal EFBIG"]);
  expect(lines.filter((line) => line.startsWith("refused"))).toEqual(
    Array(32).fill("refused audit_unavailable false"),
  );

  await openLog(path);
  const ids = new Set((await records(path)).map(({ id }) => id));
  expect(acknowledged(lines).filter((id) => !ids.has(id))).toEqual([]);
});

/** A full disk of its own needs the right to mount one. */
function mountTiny(path: string): boolean {
  mkdirSync(path);
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=64k", "tmpfs", path], { stdio: "ignore" });
  } catch {
    return false;
  }
  later(() => execFileSync("umount", [path]));
  return true;
}

test("a full disk (ENOSPC) fails closed, and the log opens again once there is room", async ({ skip }) => {
  const path = join(scratch(), "full");
  if (!mountTiny(path)) skip("mounting a tmpfs needs root");
  const fatal: unknown[] = [];
  const log = await openLog(path, { onFatal: (error) => fatal.push(error) });
  const results = await Promise.allSettled(Array.from({ length: 200 }, () => decide(log)));
  expect(results.every(({ status }) => status === "rejected")).toBe(true);
  await expect(decide(log)).rejects.toMatchObject({ code: "audit_unavailable" });
  expect(log.healthy).toBe(false);
  expect(fatal).toMatchObject([{ code: "audit_unavailable", cause: { code: "ENOSPC" } }]);
  await log.close();

  execFileSync("mount", ["-o", "remount,size=4m", path]);
  const again = await openLog(path);
  await decide(again);
  expect(await verifyLog(path)).toMatchObject({ ok: true });
  await again.close();
});

test("a second process is refused while the first one writes, and gets the log when that one has died", async () => {
  const path = join(scratch(), "log");
  const writer = startWriter(path);
  await once(createInterface(writer.child.stdout), "line");
  await expect(openLog(path)).rejects.toMatchObject({
    code: "audit_unavailable",
    reason: `the decision log in ${path} is in use by process ${writer.child.pid}`,
  });
  writer.child.kill("SIGKILL");
  await writer.closed;
  expect(readdirSync(path)).toContain("lock");
  await decide(await openLog(path));
});

test("two openers in one process: the second is refused, and closing the first lets it in", async () => {
  const path = join(scratch(), "log");
  const first = await openLog(path);
  await expect(openLog(path)).rejects.toMatchObject({ code: "audit_unavailable" });
  await first.close();
  expect(readdirSync(path)).not.toContain("lock");
  await openLog(path);
});

test("a lock of an earlier process with the same pid, or one that is unreadable, is stale", async () => {
  const path = join(scratch(), "log");
  mkdirSync(path);
  for (const lock of [JSON.stringify({ pid: process.pid, start: "another boot:1" }), ""]) {
    writeFileSync(join(path, "lock"), lock);
    const log = await openLog(path);
    expect(JSON.parse(readFileSync(join(path, "lock"), "utf8"))).toMatchObject({ pid: process.pid });
    await log.close();
  }
});

/** A process that was killed and that its parent does not reap. Returns its pid. */
async function zombie(): Promise<number> {
  const parent = spawn("/bin/sh", ["-c", "sleep 60 & echo $!; exec sleep 60"], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  later(() => parent.kill("SIGKILL"));
  const [line] = await once(createInterface(parent.stdout), "line");
  const pid = Number(line);
  // The shell would reap it.
  await expect.poll(() => readFileSync(`/proc/${parent.pid}/comm`, "latin1")).toBe("sleep\n");
  process.kill(pid, "SIGKILL");
  await expect.poll(() => readFileSync(`/proc/${pid}/stat`, "latin1")).toContain(") Z ");
  return pid;
}

test.runIf(process.platform === "linux")(
  "a lock of a process that is dead, but that nobody has reaped, is stale",
  async () => {
    const path = join(scratch(), "log");
    const log = await openLog(path);
    const lock = join(path, "lock");
    const { start } = JSON.parse(readFileSync(lock, "utf8"));
    await log.close();
    const pid = await zombie();
    const [began] =
      readFileSync(`/proc/${pid}/stat`, "latin1").split(") ").at(-1)?.split(" ").slice(19) ?? [];
    writeFileSync(lock, JSON.stringify({ pid, start: `${start.split(":")[0]}:${began}` }));
    await decide(await openLog(path));
  },
);

test("a log that closes leaves a lock that is another's", async () => {
  const path = join(scratch(), "log");
  const log = await openLog(path);
  writeFileSync(join(path, "lock"), "another's");
  await log.close();
  expect(readFileSync(join(path, "lock"), "utf8")).toBe("another's");
});

test.runIf(process.platform === "linux")(
  "a segment is open for writes that return when their bytes are on disk, and that only append",
  async () => {
    const path = join(scratch(), "log");
    const log = await openLog(path, { segmentBytes: 512 });
    for (const _ of [1, 2]) {
      await decide(log);
      const current = join(
        path,
        readdirSync(path)
          .sort()
          .findLast((name) => name.endsWith(".jsonl")) ?? "",
      );
      const open = readdirSync("/proc/self/fd").filter((name) => linkOf(name).startsWith(path));
      expect(open.map(linkOf)).toEqual([current]);
      const [, flags = "0"] =
        /^flags:\s*(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${open[0]}`, "utf8")) ?? [];
      const wanted = constants.O_DSYNC | constants.O_APPEND;
      expect(Number.parseInt(flags, 8) & wanted).toBe(wanted);
    }
    await log.close();
    await openLog(path);
  },
);

function linkOf(fd: string): string {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return "";
  }
}
