import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { readLog, verifyLog } from "../../src/audit/read.ts";
import { type Issuer, startIssuer } from "../identity/issuer.ts";
import { type Arrival, type Spy, serveSpy, text } from "./upstreams.ts";
import { callTool, OPEN, ROOT, removeWritten, until, writeWorld } from "./world.ts";

let issuer: Issuer;
let spy: Spy;
/** What a call of `hold` waits for. */
let release = () => {};
const children = new Set<ChildProcess>();
const folders: string[] = [];
const traffic: (() => Promise<void>)[] = [];

beforeAll(async () => {
  issuer = await startIssuer();
  const call = async ({ params }: Arrival) => {
    const { text: said } = params.arguments as { text?: string };
    if (said === "hold")
      await new Promise<void>((go) => {
        release = go;
      });
    return said === "never" ? undefined : text("done");
  };
  spy = await serveSpy({ call });
});
afterEach(async () => {
  for (const child of children) child.kill("SIGKILL");
  for (const stop of traffic.splice(0)) await stop();
});
afterAll(async () => {
  await Promise.all([spy.close(), issuer.close()]);
  for (const folder of folders) await removeWritten(folder);
});

async function aFolder(more: Record<string, unknown> = {}) {
  const made = await writeWorld({
    config: {
      issuers: [{ issuer: issuer.issuer, jwks_uri: issuer.jwks_uri, tenant: { fixed: "acme" } }],
      upstreams: { spy: { url: spy.url, era: "legacy" } },
      servers: { main: { upstreams: ["spy"] } },
      ...(more as object),
    },
    policies: OPEN,
  });
  folders.push(made.directory);
  const url = `${made.origin}/mcp/main`;
  const exp = Math.floor(Date.now() / 1000) + 600;
  const token = await issuer.sign({ iss: issuer.issuer, aud: url, sub: "ann", exp, iat: exp - 600 });
  return { ...made, url, token, log: join(made.directory, "log") };
}

interface Served {
  /** Sends the signal and gives exit code and signal. */
  end(signal: NodeJS.Signals): Promise<unknown>;
  readonly exited: Promise<unknown>;
}

/** `portcullis serve` as an operator starts it, once it serves. */
async function serve(file: string, prefix: readonly string[] = []): Promise<Served> {
  const main = join(ROOT, "dist/main.js");
  const [command = "", ...args] = [...prefix, process.execPath, main, "serve", "-c", file];
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"] });
  children.add(child);
  const exited = once(child, "exit").finally(() => children.delete(child));
  let said = "";
  child.stderr.on("data", (chunk) => {
    said += chunk;
  });
  for await (const line of createInterface({ input: child.stdout })) {
    if (!line.startsWith("url: ")) continue;
    return {
      exited,
      end(signal) {
        child.kill(signal);
        return exited;
      },
    };
  }
  throw new Error(`it ended before it served: ${said}`);
}

/** Calls on until stopped; what becomes of a call does not matter. */
function load(url: string, token: string, workers = 8) {
  let stopped = false;
  let answered = 0;
  const work = async () => {
    while (!stopped) {
      const answer = await callTool(url, "echo", { text: "x" }, { token }).catch(() => undefined);
      if (answer?.status === 200) answered += 1;
      // It is down: trying all the time would only slow its start.
      else await new Promise((next) => setTimeout(next, 50));
    }
  };
  const all = Promise.all(Array.from({ length: workers }, work));
  const stop = async () => {
    stopped = true;
    await all;
  };
  traffic.push(stop);
  return { answered: () => answered, stop };
}

async function logged(path: string) {
  const decisions = new Set<string>();
  const outcomes = new Map<string, string>();
  for await (const record of readLog(path)) {
    if (record.phase === "decision" && record.effect === "allow") decisions.add(record.id);
    if (record.phase === "outcome") outcomes.set(record.decision, record.status);
  }
  return { decisions, outcomes };
}

const idsOf = (arrivals: readonly Arrival[]) =>
  arrivals.map(({ headers }) => String(headers["portcullis-decision"]));

test("after kill -9 under load, again and again, every call that arrived upstream has its decision", async () => {
  const { file, url, token, log } = await aFolder();
  const start = spy.calls().length;
  const calls = load(url, token);
  for (let round = 1; round <= 3; round += 1) {
    const child = await serve(file);
    const before = spy.calls().length;
    await until("load", () => spy.calls().length > before + 40 * round);
    await child.end("SIGKILL");
  }
  await calls.stop();
  const child = await serve(file);
  expect(await child.end("SIGTERM")).toEqual([0, null]);
  const { decisions, outcomes } = await logged(log);
  const arrived = idsOf(spy.calls().slice(start));
  expect(arrived.length).toBeGreaterThan(200);
  expect(arrived.filter((id) => !decisions.has(id))).toEqual([]);
  // What was cut off has an outcome too: unknown.
  expect(await verifyLog(log)).toMatchObject({ ok: true, torn: 0, open: [] });
  expect(new Set(outcomes.values())).toEqual(new Set(["ok", "unknown"]));
});

test("SIGTERM under load lets calls in flight end, records them, and exits 0", async () => {
  const { file, url, token, log } = await aFolder();
  const start = spy.calls().length;
  const child = await serve(file);
  const calls = load(url, token);
  await until("load", () => calls.answered() > 50);
  const holds = () =>
    spy.calls().filter(({ params }) => (params.arguments as { text: string }).text === "hold").length;
  const held = callTool(url, "echo", { text: "hold" }, { token });
  await until("the call upstream", () => holds() === 1);
  const exited = child.end("SIGTERM");
  // It accepts nothing new.
  await until("draining", () =>
    callTool(url, "echo", { text: "x" }, { token }).then(
      ({ status }) => status === 503,
      () => true,
    ),
  );
  release();
  expect((await held).body.result).toBeDefined();
  expect(await exited).toEqual([0, null]);
  await calls.stop();
  const { decisions, outcomes } = await logged(log);
  const arrived = idsOf(spy.calls().slice(start));
  expect(arrived.filter((id) => !decisions.has(id))).toEqual([]);
  expect([...decisions].filter((id) => outcomes.get(id) !== "ok" && arrived.includes(id))).toEqual([]);
  expect(await verifyLog(log)).toMatchObject({ ok: true, torn: 0, open: [] });
});

test("a call that outlasts the drain is cut and recorded as cut", async () => {
  const { file, url, token, log } = await aFolder({ limits: { drain_ms: 300 } });
  const child = await serve(file);
  const before = spy.calls().length;
  const cut = expect(callTool(url, "echo", { text: "never" }, { token })).rejects.toThrow();
  await until("the call upstream", () => spy.calls().length > before);
  expect(await child.end("SIGTERM")).toEqual([0, null]);
  await cut;
  const { outcomes } = await logged(log);
  const [id = ""] = idsOf(spy.calls().slice(before));
  expect(outcomes.get(id)).toBe("cancelled");
});

test("when the disk is full nothing more is forwarded, and the process ends with 1", async () => {
  const { file, url, token, log } = await aFolder();
  const start = spy.calls().length;
  const child = await serve(file, ["prlimit", "--fsize=65536"]);
  const calls = load(url, token);
  expect(await child.exited).toEqual([1, null]);
  await calls.stop();
  const arrived = idsOf(spy.calls().slice(start));
  expect(arrived.length).toBeGreaterThan(10);
  const { decisions } = await logged(log);
  expect(arrived.filter((id) => !decisions.has(id))).toEqual([]);
});
