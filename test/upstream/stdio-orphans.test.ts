import { type ChildProcessByStdio, execFile, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { silentLog } from "../../src/lib/log.ts";
import { createOrphanGuard, WATCHER } from "../../src/upstream/orphans.ts";
import { isRunning } from "./servers.ts";

const ROOT = resolve(import.meta.dirname, "../..");
const FIXTURE = resolve(import.meta.dirname, "orphans.fixture.mjs");
const STUBBORN = resolve(import.meta.dirname, "stubborn.mjs");
const dist = mkdtempSync(join(tmpdir(), "portcullis-orphans-"));

beforeAll(async () => {
  const options = {
    outDir: dist,
    rootDir: join(ROOT, "src"),
    incremental: false,
    declaration: false,
    noCheck: true,
  };
  const config = {
    extends: join(ROOT, "tsconfig.json"),
    compilerOptions: options,
    files: ["stdio.ts", "orphans.ts"].map((file) => join(ROOT, "src/upstream", file)),
    include: [],
  };
  writeFileSync(join(dist, "tsconfig.json"), JSON.stringify(config));
  writeFileSync(join(dist, "package.json"), '{"type":"module"}');
  symlinkSync(join(ROOT, "node_modules"), join(dist, "node_modules"));
  await promisify(execFile)(process.execPath, [join(ROOT, "node_modules/typescript/bin/tsc"), "-p", dist]);
});
afterAll(() => rmSync(dist, { recursive: true, force: true }));

/** A gateway with two children, each with a child of its own, that ignore the end of their input and SIGTERM. */
async function startGateway() {
  const gateway = spawn(process.execPath, [FIXTURE, dist, STUBBORN], {
    stdio: ["ignore", "pipe", "inherit"],
    detached: true,
  });
  const pids: number[] = [];
  for await (const line of createInterface({ input: gateway.stdout })) {
    pids.push(...line.split(" ").map(Number));
    if (pids.length === 4) break;
  }
  return { gateway, pids, watcher: watcherOf(gateway.pid ?? 0) };
}

/** The shell among the children of a process. */
function watcherOf(parent: number): number {
  const children = execFileSync("ps", ["-o", "pid=,comm=", "--ppid", String(parent)], { encoding: "utf8" });
  return Number(/(\d+) sh\b/.exec(children)?.[1]);
}

test("no process is left after kill -9 of the gateway, nor the watcher", async () => {
  const { gateway, pids, watcher } = await startGateway();
  expect([...pids, watcher].every(isRunning)).toBe(true);
  gateway.kill("SIGKILL");
  await once(gateway, "exit");
  await expect.poll(() => [...pids, watcher].filter(isRunning)).toEqual([]);
});

test("what ends the gateway's whole group, or the watcher itself, leaves no process either", async () => {
  const { gateway, pids, watcher } = await startGateway();
  process.kill(watcher, "SIGTERM");
  process.kill(watcher, "SIGKILL");
  await expect.poll(() => watcherOf(gateway.pid ?? 0)).not.toBe(watcher);
  await expect.poll(() => watcherOf(gateway.pid ?? 0)).toBeGreaterThan(0);
  process.kill(-(gateway.pid ?? 0), "SIGKILL");
  await expect.poll(() => pids.filter(isRunning)).toEqual([]);
});

test("a process that only has the number of one that was held is left alone", async () => {
  const stranger = spawn("cat", { detached: true, stdio: ["pipe", "pipe", "ignore"] });
  stranger.stdin.on("error", () => {});
  const born = birthOf(stranger.pid ?? 0);
  expect(await endsWith(`+ ${stranger.pid} ${born + 1}\n`, stranger)).toBe(false);
  expect(await endsWith(`+ ${stranger.pid} ${born}\n- ${stranger.pid} ${born}\n`, stranger)).toBe(false);
  expect(await endsWith(`+ ${stranger.pid} ${born}\n`, stranger)).toBe(true);
});

test("nothing watches when nothing is held", async () => {
  const guard = createOrphanGuard(silentLog);
  const before = watcherOf(process.pid);
  expect(before).toBeNaN();
  const child = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"], {
    detached: true,
    stdio: "ignore",
  });
  const forget = guard.hold(child.pid ?? 0);
  const watcher = watcherOf(process.pid);
  expect(watcher).toBeGreaterThan(0);
  forget();
  await expect.poll(() => isRunning(watcher)).toBe(false);
  expect(isRunning(child.pid ?? 0)).toBe(true);
  child.kill("SIGKILL");
});

function birthOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]);
}

/** Whether the watcher, told this, ends the stranger. */
async function endsWith(
  told: string,
  stranger: ChildProcessByStdio<Writable, Readable, null>,
): Promise<boolean> {
  const watcher = spawn("/bin/sh", ["-c", WATCHER], { stdio: ["pipe", "inherit", "inherit"] });
  const ended = once(stranger, "exit").then(() => true);
  watcher.stdin.end(told);
  await once(watcher, "exit");
  // Who was killed repeats nothing any more.
  const lives = once(stranger.stdout, "data").then(() => false);
  stranger.stdin.write("still there?\n");
  return Promise.race([ended, lives]);
}
