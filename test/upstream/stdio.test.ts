import { mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, afterEach, expect, test } from "vitest";
import { type Log, silentLog } from "../../src/lib/log.ts";
import { Secret } from "../../src/lib/secret.ts";
import {
  asking,
  BASE_ENV,
  calling,
  closeAll,
  event,
  isRunning,
  OFFICIAL,
  stdioUpstream,
  textOf,
} from "./servers.ts";

const ODD = [resolve(import.meta.dirname, "odd-server.mjs")];
const folder = realpathSync(mkdtempSync(join(tmpdir(), "portcullis-stdio-")));
const signal = new AbortController().signal;
afterEach(closeAll);
afterAll(() => rmSync(folder, { recursive: true }));

test("the official filesystem server is found to be legacy and reads a file", async () => {
  writeFileSync(join(folder, "note.txt"), "written");
  const upstream = stdioUpstream([resolve(OFFICIAL, "server-filesystem/dist/index.js"), folder]);
  expect(await upstream.identify(signal)).toMatchObject({ era: "legacy" });
  expect(textOf(await upstream.request(calling("read_text_file", { path: join(folder, "note.txt") })))).toBe(
    "written",
  );
});

test("the official memory server serves two owners at once and nothing is crossed", async () => {
  const upstream = stdioUpstream([resolve(OFFICIAL, "server-memory/dist/index.js")], {
    env: { ...BASE_ENV, MEMORY_FILE_PATH: join(folder, "memory.json") },
  });
  expect(JSON.parse((await upstream.request(asking("tools/list", {}))).text).tools).toHaveLength(9);
  const calls = Array.from({ length: 40 }, async (_, at) => {
    const query = `nobody-${at}`;
    const answer = await upstream.request(
      calling("open_nodes", { names: [query] }, { sessionKey: at % 2 ? "ann" : "bob" }),
    );
    expect(JSON.parse(textOf(answer))).toEqual({ entities: [], relations: [] });
  });
  await Promise.all(calls);
});

test("a modern server over stdio is asked in the modern era", async () => {
  const upstream = stdioUpstream([resolve(import.meta.dirname, "modern-stdio.mjs")]);
  expect(await upstream.identify(signal)).toMatchObject({ era: "modern", serverInfo: { name: "desk" } });
  const changed = event();
  upstream.onChange(changed.resolve);
  const seen: unknown[] = [];
  const onNotification = (_: string, params: string) => seen.push(JSON.parse(params));
  const answer = await upstream.request(calling("steps", {}, { progressToken: "mine", onNotification }));
  expect(textOf(answer)).toBe("done");
  expect(seen).toMatchObject([{ progressToken: "mine", progress: 1 }]);
  await upstream.request(calling("grow", {}));
  await changed.promise;
});

test("progress that repeats a key, or that whoever hears it fails at, ends neither its call nor the process", async () => {
  const errors: unknown[] = [];
  const upstream = stdioUpstream(ODD, {
    log: { ...silentLog, error: ({ err }: { err: Error }) => errors.push(err.message) } as Log,
  });
  const heard: string[] = [];
  const told = (progress: string, onNotification: (method: string, params: string) => void) =>
    upstream.request(calling("progresses", { progress }, { progressToken: "mine", onNotification }));
  const hears = (_: string, params: string) => heard.push(params);
  expect((await told('{"progressToken":TOKEN,"progress":1,"progress":2}', hears)).kind).toBe("result");
  const fails = () => {
    throw new Error("it failed");
  };
  expect((await told('{"progressToken":TOKEN,"progress":3}', fails)).kind).toBe("result");
  expect((await told('{"progressToken":TOKEN,"progress":4}', hears)).kind).toBe("result");
  expect(heard).toEqual(['{"progressToken":"mine","progress":4}']);
  expect(errors).toEqual(["it failed"]);
});

test("answers keep big integers, unknown members and their order", async () => {
  const answer = await stdioUpstream(ODD).request(calling("big", {}));
  expect(answer.text).toBe('{"content":[], "id": 12345678901234567890, "x":{"unknown":1.0}}');
});

test("a child gets exactly the environment it was given", async () => {
  const upstream = stdioUpstream(ODD, { env: { ...BASE_ENV, TOKEN: new Secret("s3cret") }, cwd: folder });
  const { env, cwd } = JSON.parse((await upstream.request(calling("env", {}))).text);
  expect(env).toEqual({ ...BASE_ENV, TOKEN: "s3cret" });
  expect(cwd).toBe(folder);
});

test("a child's stderr is logged without the secrets it was given", async () => {
  const said: object[] = [];
  const logged = event();
  const log: Log = {
    ...silentLog,
    info(fields) {
      said.push(fields);
      if ("stderr" in fields) logged.resolve();
    },
  };
  const upstream = stdioUpstream(ODD, { env: { ...BASE_ENV, TOKEN: new Secret("s3cret") }, log });
  await upstream.request(calling("stderr", {}));
  await logged.promise;
  expect(said).toContainEqual({ upstream: "up", stderr: "token is [withheld]" });
  expect(JSON.stringify(said)).not.toContain("s3cret");
});

test("garbage, foreign ids and giant lines on stdout do not put answers out of step", async () => {
  const upstream = stdioUpstream(ODD, { limits: { answerBytes: 100_000 } });
  const answers = await Promise.all([
    upstream.request(calling("foreign", {})),
    upstream.request(calling("giant", {})),
    upstream.request(calling("big", {})),
  ]);
  expect(answers.map(({ text }) => JSON.parse(text).content)).toEqual([["own"], ["after"], []]);
});

test("what a child sends for nobody is logged when its count has doubled, not each time", async () => {
  const warned: object[] = [];
  const log: Log = { ...silentLog, warn: (fields) => warned.push(fields) };
  const answer = await stdioUpstream(ODD, { log }).request(calling("foreigners", {}));
  expect(JSON.parse(answer.text).content).toEqual(["own"]);
  expect(warned.filter((fields) => "dropped" in fields)).toHaveLength(10);
});

test("what an upstream asks of the gateway is refused", async () => {
  const answer = await stdioUpstream(ODD).request(calling("asks", {}));
  expect(JSON.parse(answer.text).answer).toEqual({ code: -32601, message: "Method not found" });
});

test("a crash fails the calls in flight, and the next use starts the child again", async () => {
  const upstream = stdioUpstream(ODD);
  const waiting = upstream.request(calling("silence", {}));
  const crash = upstream.request(calling("crash", {}));
  await expect(waiting).rejects.toMatchObject({ code: "upstream_unavailable" });
  await expect(crash).rejects.toMatchObject({ code: "upstream_unavailable" });
  expect((await upstream.request(calling("foreign", {}))).kind).toBe("result");
});

test("a child that crashes again and again is not started in a loop", async () => {
  let now = 0;
  const upstream = stdioUpstream(ODD, {
    clock: () => now,
    timeouts: { restart: { firstMs: 50, maxMs: 1000 } },
  });
  const crash = () => upstream.request(calling("crash", {}));
  await expect(crash()).rejects.toMatchObject({ reason: "ended with 3" });
  await expect(crash()).rejects.toMatchObject({ reason: "ended with 3" });
  await expect(crash()).rejects.toMatchObject({ reason: expect.stringContaining("waiting") });
  now = 50;
  await expect(crash()).rejects.toMatchObject({ reason: "ended with 3" });
});

test("a server that ends at any request before initialize is served by a fresh child", async () => {
  const upstream = stdioUpstream(ODD, { env: { ...BASE_ENV, SHY: "1" } });
  expect(await upstream.identify(signal)).toMatchObject({ era: "legacy", serverInfo: { name: "odd" } });
});

test("a command that cannot be started says so", async () => {
  const upstream = stdioUpstream([], { command: join(folder, "nothing-here") });
  await expect(upstream.identify(signal)).rejects.toMatchObject({
    code: "upstream_unavailable",
    reason: "ENOENT",
  });
});

test("a call ends at its deadline and is cancelled upstream", async () => {
  const upstream = stdioUpstream(ODD);
  await upstream.identify(signal);
  const waiting = upstream.request(calling("silence", {}));
  await expect(upstream.request(calling("silence", {}, { timeoutMs: 50 }))).rejects.toMatchObject({
    code: "upstream_timeout",
  });
  // The deadline was its own: another call waits on.
  expect(await Promise.race([waiting, "still"])).toBe("still");
  const { seen } = JSON.parse((await upstream.request(calling("seen", {}))).text);
  expect(seen.map(([method]: string[]) => method)).toContain("notifications/cancelled");
});

test("progress tokens and the era's own _meta never come from a caller", async () => {
  const upstream = stdioUpstream(ODD);
  const _meta = { progressToken: "stolen", "io.modelcontextprotocol/clientInfo": {}, "example.com/kept": 1 };
  const answer = await upstream.request(asking("tools/call", { name: "seen", arguments: {}, _meta }));
  expect(JSON.parse(answer.text).seen.at(-1)).toEqual(["tools/call", null, { "example.com/kept": 1 }]);
});

test("no process is left when an upstream is closed, not even a stubborn one or what it started", async () => {
  const upstream = stdioUpstream(ODD, { env: { ...BASE_ENV, STUBBORN: "1" }, timeouts: { graceMs: 50 } });
  const { pids } = JSON.parse((await upstream.request(calling("spawns", {}))).text);
  await upstream.close();
  for (const pid of pids) await vanished(pid);
});

/** A killed process that nobody has reaped yet is gone too. */
async function vanished(pid: number): Promise<void> {
  await expect.poll(() => isRunning(pid)).toBe(false);
}
