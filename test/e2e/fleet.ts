import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer, type IncomingMessage, request, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { readLog } from "../../src/audit/read.ts";
import type { JsonObject } from "../../src/lib/json.ts";
import { type Issuer, startIssuer } from "../identity/issuer.ts";
import { startValkey, type Valkey } from "../support/valkey.ts";
import { issuerConfig, tokenOf } from "./raw-session.ts";
import { type Decision, ROOT, removeWritten, until, writeWorld } from "./world.ts";

/** One `portcullis serve` of its own. */
export interface ReplicaProcess {
  readonly port: number;
  ready(): Promise<{ readonly status: number; readonly reasons: readonly string[] }>;
  decisions(): Promise<readonly Decision[]>;
  kill(): Promise<void>;
  start(): Promise<void>;
}

export interface Proxy {
  readonly origin: string;
  /** Where the next requests go; undefined: to each replica in turn. */
  to: number | undefined;
  /** Requests so far, by replica. */
  readonly counts: number[];
  close(): Promise<void>;
}

/** Replicas on one real Valkey or Redis server, behind a proxy that knows nothing of sessions. */
export interface Fleet {
  readonly proxy: Proxy;
  readonly replicas: readonly ReplicaProcess[];
  readonly valkey: Valkey;
  url(server: string): string;
  token(user: string, server: string): Promise<string>;
  close(): Promise<void>;
}

const KEY = "0123456789abcdef0123456789abcdef";

async function startProxy(ports: readonly number[]): Promise<Proxy> {
  const counts = ports.map(() => 0);
  let turn = 0;
  function forward(from: IncomingMessage, to: ServerResponse): void {
    const at = proxy.to ?? turn++ % ports.length;
    counts[at] = (counts[at] ?? 0) + 1;
    const { method, url, headers } = from;
    const onward = request({ host: "127.0.0.1", port: ports[at], method, path: url, headers });
    onward.on("response", (answer) => {
      to.writeHead(answer.statusCode ?? 502, answer.headers);
      to.flushHeaders();
      answer.on("error", () => to.destroy()).pipe(to);
    });
    onward.on("error", () => (to.headersSent ? to.destroy() : to.writeHead(502).end()));
    to.on("close", () => onward.destroy());
    from.pipe(onward);
  }
  const server = createServer(forward);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const proxy: Proxy = {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    to: undefined,
    counts,
    async close() {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
  return proxy;
}

async function startReplica({
  file,
  directory,
  port,
}: Awaited<ReturnType<typeof writeWorld>>): Promise<ReplicaProcess & { close(): Promise<void> }> {
  let child: ChildProcess | undefined;
  const replica = {
    port,
    async ready() {
      const response = await fetch(`http://127.0.0.1:${port}/readyz`);
      const { reasons } = (await response.json()) as { reasons: readonly string[] };
      return { status: response.status, reasons };
    },
    async decisions() {
      const all: Decision[] = [];
      for await (const one of readLog(join(directory, "log")))
        if (one.phase === "decision") all.push(one as Decision);
      return all;
    },
    async kill() {
      if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
      const ended = once(child, "exit");
      child.kill("SIGKILL");
      await ended;
    },
    async start() {
      const main = join(ROOT, "dist/main.js");
      const env = { ...process.env, SESSIONS_KEY: KEY };
      const started = spawn(process.execPath, [main, "serve", "-c", file], {
        env,
        stdio: ["ignore", "pipe", "pipe"],
      });
      child = started;
      let said = "";
      started.stderr.on("data", (chunk) => {
        said += chunk;
      });
      for await (const line of createInterface({ input: started.stdout }))
        if (line.startsWith("url: ")) {
          started.stdout.resume();
          return;
        }
      throw new Error(`a replica did not start: ${said}`);
    },
    async close() {
      await replica.kill();
      await removeWritten(directory);
    },
  };
  await replica.start();
  return replica;
}

export async function startFleet(config: JsonObject, policies: string): Promise<Fleet> {
  const [valkey, issuer] = await Promise.all([startValkey(), startIssuer()]);
  const shared = {
    issuers: [issuerConfig(issuer)],
    sessions: { store: { url: valkey.url }, key: "env:SESSIONS_KEY" },
    ...config,
  };
  // Each replica has to know under which URL it is reached: the proxy's, whose ports are then those of the replicas.
  const ports: number[] = [];
  const proxy = await startProxy(ports);
  const listen = { public_url: proxy.origin };
  const worlds = await Promise.all([0, 1].map(() => writeWorld({ config: shared, policies, listen })));
  for (const { port } of worlds) {
    ports.push(port);
    proxy.counts.push(0);
  }
  const replicas = await Promise.all(worlds.map(startReplica));
  const url = (server: string) => `${proxy.origin}/mcp/${server}`;
  return {
    proxy,
    replicas,
    valkey,
    url,
    token: (user, server) => tokenOf(issuer as Issuer, url(server), user),
    async close() {
      await proxy.close();
      await Promise.all(replicas.map((replica) => replica.close()));
      await Promise.all([valkey.close(), issuer.close()]);
    },
  };
}

/** Until it serves, or no longer can. */
export function untilReady(
  replica: ReplicaProcess,
  status: number,
): Promise<{ readonly reasons: readonly string[] }> {
  return until(`a replica that says ${status}`, async () => {
    const ready = await replica.ready().catch(() => undefined);
    return ready?.status === status ? ready : undefined;
  });
}
