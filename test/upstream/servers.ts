import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { resolve } from "node:path";
import { type NodeIncomingMessageLike, toNodeHandler } from "@modelcontextprotocol/node";
import { createMcpHandler, McpServer, type ServerOptions } from "@modelcontextprotocol/server";
import { z } from "zod";
import type { UpstreamAnswer, UpstreamRequest } from "../../src/domain.ts";
import { systemClock } from "../../src/lib/clock.ts";
import { silentLog } from "../../src/lib/log.ts";
import { createHttpUpstream, type HttpUpstreamOptions } from "../../src/upstream/http.ts";
import { createOrphanGuard } from "../../src/upstream/orphans.ts";
import { createStdioUpstream, type StdioUpstreamOptions } from "../../src/upstream/stdio.ts";
import { ownPort } from "../support/port.ts";

const ROOT = resolve(import.meta.dirname, "../..");
export const OFFICIAL = resolve(ROOT, "node_modules/@modelcontextprotocol");
export const BASE_ENV = { PATH: process.env.PATH ?? "", HOME: process.env.HOME ?? "" };
const CLIENT_INFO = { name: "portcullis", version: "test" };

type AsyncClose = () => Promise<void>;
const closers: AsyncClose[] = [];

/** For `afterEach`: closes in reverse order whatever a test opened. */
export async function closeAll(): Promise<void> {
  for (const close of closers.splice(0).reverse()) await close();
}

export function onClose(close: AsyncClose): void {
  closers.push(close);
}

export function httpUpstream(url: string, more: Partial<HttpUpstreamOptions> = {}) {
  const upstream = createHttpUpstream({
    name: "up",
    url,
    era: "auto",
    clientInfo: CLIENT_INFO,
    log: silentLog,
    clock: systemClock,
    ...more,
  });
  onClose(() => upstream.close());
  return upstream;
}

export function stdioUpstream(args: readonly string[], more: Partial<StdioUpstreamOptions> = {}) {
  const upstream = createStdioUpstream({
    name: "up",
    command: process.execPath,
    args,
    env: BASE_ENV,
    era: "auto",
    isolation: "shared",
    clientInfo: CLIENT_INFO,
    orphans: createOrphanGuard(silentLog),
    log: silentLog,
    clock: systemClock,
    ...more,
  });
  onClose(() => upstream.close());
  return upstream;
}

/** A request with everything that a test does not care about. */
export function asking(
  method: string,
  params: UpstreamRequest["params"],
  more: Partial<UpstreamRequest> = {},
): UpstreamRequest {
  return {
    method,
    params,
    sessionKey: "ann",
    clientInfo: { name: "ann's client", version: "1" },
    decisionId: "decision-1",
    credential: new Map(),
    signal: new AbortController().signal,
    timeoutMs: 10_000,
    ...more,
  };
}

export function calling(
  name: string,
  args: UpstreamRequest["params"],
  more: Partial<UpstreamRequest> = {},
): UpstreamRequest {
  return asking("tools/call", { name, arguments: args }, more);
}

export function textOf(answer: UpstreamAnswer): string {
  return JSON.parse(answer.text).content[0].text;
}

export interface Served {
  readonly url: string;
  close(): Promise<void>;
}

/** A node:http server on loopback. */
export async function serveRaw(
  handler: (request: IncomingMessage, response: ServerResponse, body: string) => void,
  port = 0,
): Promise<Served> {
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk) => chunks.push(chunk));
    request.on("end", () => handler(request, response, Buffer.concat(chunks).toString("utf8")));
  });
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  const close = async () => {
    server.closeAllConnections();
    if (server.listening) await new Promise((done) => server.close(done));
  };
  onClose(close);
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`, close };
}

/** The official everything server: legacy, stateful, answers in event streams. */
export async function serveEverything(wanted?: number): Promise<Served> {
  const port = wanted ?? (await ownPort());
  const child = spawn(
    process.execPath,
    [
      "--import",
      resolve(import.meta.dirname, "loopback.mjs"),
      resolve(OFFICIAL, "server-everything/dist/index.js"),
      "streamableHttp",
    ],
    { env: { ...BASE_ENV, PORT: String(port) }, stdio: ["ignore", "ignore", "pipe"] },
  );
  const close = () => endProcess(child);
  onClose(close);
  const found = await new Promise<string>((resolve, reject) => {
    let said = "";
    child.once("exit", () => reject(new Error(`server-everything did not start: ${said}`)));
    child.stderr.on("data", (chunk) => {
      said += chunk;
      const port = /port=(\d+)/.exec(said)?.[1];
      if (port !== undefined) resolve(port);
    });
  });
  return { url: `http://127.0.0.1:${found}/mcp`, close };
}

/** A promise that a test resolves from elsewhere. */
export function event(): { readonly promise: Promise<void>; resolve(): void } {
  let resolve = () => {};
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve: () => resolve() };
}

export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  return true;
}

async function endProcess(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill("SIGKILL");
  await once(child, "exit");
}

/** A server of the modern era on the official v2 SDK. */
export async function serveModern(observe: (request: IncomingMessage) => void = () => {}) {
  const cancelled = event();
  const waiting = event();
  const handler = createMcpHandler(() => {
    const server = new McpServer(
      { name: "desk", version: "3" },
      { capabilities: { tools: { listChanged: true } } },
    );
    server.registerTool("echo", { inputSchema: z.object({ text: z.string() }) }, ({ text }) => ({
      content: [{ type: "text", text }],
    }));
    const region = z.string().meta({ "x-mcp-header": "Region" });
    server.registerTool("move", { inputSchema: z.object({ region }) }, (args) => ({
      content: [{ type: "text", text: `moved to ${args.region}` }],
    }));
    server.registerTool("steps", { inputSchema: z.object({}) }, async (_, { mcpReq }) => {
      const progressToken = mcpReq._meta?.progressToken;
      if (progressToken !== undefined) {
        await mcpReq.notify({
          method: "notifications/progress",
          params: { progressToken, progress: 1, total: 2 },
        });
      }
      return { content: [{ type: "text", text: "done" }] };
    });
    server.registerTool("wait", { inputSchema: z.object({}) }, (_, { mcpReq }) => {
      waiting.resolve();
      return new Promise((_done, reject) => {
        mcpReq.signal.addEventListener("abort", () => {
          cancelled.resolve();
          reject(new Error("aborted"));
        });
      });
    });
    return server;
  });
  const node = toNodeHandler(handler);
  const server = createServer((request, response) => {
    observe(request);
    // Its structural type does not know exactOptionalPropertyTypes.
    node(request as NodeIncomingMessageLike, response).catch(() => response.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onClose(async () => {
    await handler.close();
    server.closeAllConnections();
    await new Promise((done) => server.close(done));
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`;
  return { url, notify: handler.notify, cancelled: cancelled.promise, waiting: waiting.promise };
}

/** A server of the modern era with these capabilities and nothing to call. */
export async function serveListening(capabilities: NonNullable<ServerOptions["capabilities"]>) {
  const handler = createMcpHandler(() => new McpServer({ name: "news", version: "1" }, { capabilities }));
  const node = toNodeHandler(handler);
  let streams = 0;
  const server = createServer((request, response) => {
    if (request.headers["mcp-method"] === "subscriptions/listen") streams += 1;
    node(request as NodeIncomingMessageLike, response).catch(() => response.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onClose(async () => {
    await handler.close();
    server.closeAllConnections();
    await new Promise((done) => server.close(done));
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`;
  const dropConnections = () => server.closeAllConnections();
  return { url, notify: handler.notify, streams: () => streams, dropConnections };
}
