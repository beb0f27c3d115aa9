import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { createServer, request as forwardTo, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ROOT } from "../e2e/world.ts";

const TOOLS = join(ROOT, ".services", "conformance");
const SUITE = join(TOOLS, "node_modules/@modelcontextprotocol/conformance/dist/index.js");
/** The suite needs a newer Node than the gateway does. */
const NODE = join(TOOLS, "node_modules/.bin/node");
const EVERYTHING = join(TOOLS, "bin/everything-server");

/** One check of the suite by scenario and name, and how it ended. */
export type Score = ReadonlyMap<string, string>;

/** Runs exactly the scenarios that a revision requires, and those that it runs unscored. */
export async function score(url: string, revision: string): Promise<Score> {
  const output = await mkdtemp(join(tmpdir(), "conformance-"));
  try {
    await ended(
      spawn(NODE, [SUITE, "server", "--url", url, "--requirements", revision, "-o", output], {
        stdio: "ignore",
      }),
    );
    return await scoreIn(output);
  } finally {
    await rm(output, { recursive: true, force: true });
  }
}

interface Check {
  readonly id: string;
  readonly status: string;
}

/** What the suite notes of its own traffic. */
const OF_THE_SUITE: ReadonlySet<string> = new Set([
  "outgoing-request",
  "incoming-response",
  "incoming-sse-event",
]);

async function scoreIn(output: string): Promise<Score> {
  const scenarios = await readdir(output);
  const scores = await Promise.all(
    scenarios.map(async (folder) => {
      const scenario = folder.replace(/-\d{4}-\d\d-\d\dT.*$/, "");
      const checks = JSON.parse(
        await readFile(join(output, folder, "checks.json"), "utf8"),
      ) as readonly Check[];
      return checks
        .filter(({ id }) => !OF_THE_SUITE.has(id))
        .map(({ id, status }) => [`${scenario.replace(/^server-/, "")}: ${id}`, status] as const);
    }),
  );
  return new Map(scores.flat().sort(([a], [b]) => (a < b ? -1 : 1)));
}

function ended(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", () => resolve());
  });
}

export interface Running {
  readonly url: string;
  close(): Promise<void>;
}

/** The official Go SDK's server for this suite: stateful up to 2025-11-25, stateless from 2026-07-28 on. */
export async function serveEverything(port: number, { stateless }: { stateless: boolean }): Promise<Running> {
  const child = spawn(EVERYTHING, ["-http", `127.0.0.1:${port}`, `-stateless=${stateless}`], {
    stdio: "ignore",
  });
  const url = `http://127.0.0.1:${port}`;
  await answering(url);
  return {
    url,
    async close() {
      const gone = ended(child);
      child.kill();
      await gone;
    },
  };
}

async function answering(url: string): Promise<void> {
  const deadline = Date.now() + 120_000;
  for (;;) {
    try {
      await fetch(url);
      return;
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await new Promise((next) => setTimeout(next, 20));
    }
  }
}

/** The suite knows no tokens: this adds one to each of its requests and leaves all else alone, `Host` included. */
export async function withToken(port: number, target: string, token: string): Promise<Running> {
  const to = new URL(target);
  const server = createServer((incoming, outgoing) => {
    const headers = { ...incoming.headers, authorization: `Bearer ${token}` };
    const { method } = incoming;
    const forwarded = forwardTo(
      { host: to.hostname, port: to.port, path: to.pathname, method, headers },
      (answer) => {
        outgoing.writeHead(answer.statusCode ?? 500, answer.headers);
        answer.pipe(outgoing);
      },
    );
    forwarded.once("error", () => outgoing.destroy());
    outgoing.once("close", () => forwarded.destroy());
    incoming.pipe(forwarded);
  });
  await new Promise<void>((resolve) => server.listen(port, to.hostname, resolve));
  return { url: `http://${to.hostname}:${port}`, close: () => closed(server) };
}

function closed(server: Server): Promise<void> {
  server.closeAllConnections();
  return new Promise((resolve) => server.close(() => resolve()));
}
