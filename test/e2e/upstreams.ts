import { once } from "node:events";
import { createServer, type IncomingHttpHeaders, type RequestListener, type ServerResponse } from "node:http";
import { createServer as createTlsServer, type ServerOptions } from "node:https";
import type { AddressInfo } from "node:net";
import { type NodeIncomingMessageLike, toNodeHandler } from "@modelcontextprotocol/node";
import { createMcpHandler, McpServer } from "@modelcontextprotocol/server";
import { z } from "zod";
import type { Era } from "../../src/domain.ts";
import type { Json, JsonObject } from "../../src/lib/json.ts";
import type { Served } from "../upstream/servers.ts";

/** One HTTP request as it arrived upstream, whole. */
export interface Arrival {
  readonly verb: string;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  /** The JSON-RPC method, or "". */
  readonly method: string;
  readonly id: Json | undefined;
  readonly params: JsonObject;
  readonly response: ServerResponse;
  /** Whether the caller hung up before the answer was out. */
  readonly hungUp: () => boolean;
}

export interface Spy {
  readonly url: string;
  readonly port: number;
  readonly seen: Arrival[];
  /** Arrivals of tools/call alone. */
  calls(): readonly Arrival[];
  close(): Promise<void>;
}

export interface SpyOptions {
  readonly era?: Era;
  readonly port?: number;
  /** Then it is an https server. */
  readonly tls?: ServerOptions;
  tools?(arrival: Arrival): readonly JsonObject[];
  /** The result of a call; undefined: it answers `response` itself, or never. */
  call?(arrival: Arrival): JsonObject | undefined | Promise<JsonObject | undefined>;
}

export function tool(name: string, properties: JsonObject = {}, more: JsonObject = {}): JsonObject {
  return { name, inputSchema: { type: "object", properties }, ...more };
}

const ECHO = tool("echo", { text: { type: "string" } });

export function text(said: string): JsonObject {
  return { content: [{ type: "text", text: said }] };
}

const SERVER_INFO = { name: "spy", version: "7" };

/** An upstream written out, of either era, that keeps whatever it was sent. */
export async function serveSpy(options: SpyOptions = {}): Promise<Spy> {
  const { era = "legacy", tools = () => [ECHO], call = () => text("done") } = options;
  const seen: Arrival[] = [];
  let sessions = 0;

  async function resultOf(arrival: Arrival): Promise<JsonObject | undefined> {
    const whole = era === "modern" ? { resultType: "complete" } : {};
    switch (arrival.method) {
      case "initialize":
        arrival.response.setHeader("mcp-session-id", `spy-${++sessions}`);
        return { protocolVersion: "2025-11-25", capabilities: { tools: {} }, serverInfo: SERVER_INFO };
      case "server/discover":
        return {
          ...whole,
          supportedVersions: ["2026-07-28"],
          capabilities: { tools: {} },
          _meta: { "io.modelcontextprotocol/serverInfo": SERVER_INFO },
        };
      case "tools/list":
        return { ...whole, tools: tools(arrival) };
      default: {
        const result = await call(arrival);
        return result && { ...whole, ...result };
      }
    }
  }

  async function answer(arrival: Arrival): Promise<void> {
    const { verb, id, response } = arrival;
    if (verb !== "POST") return void response.writeHead(verb === "GET" ? 405 : 200).end();
    if (id === undefined) return void response.writeHead(202).end();
    const result = await resultOf(arrival);
    if (result === undefined || response.writableEnded) return;
    response
      .setHeader("content-type", "application/json")
      .end(JSON.stringify({ jsonrpc: "2.0", id, result }));
  }

  const { tls } = options;
  const secured = (handle: RequestListener) => (tls ? createTlsServer(tls, handle) : createServer(handle));
  const server = secured((request, response) => {
    const chunks: Buffer[] = [];
    let hungUp = false;
    response.once("close", () => {
      hungUp = !response.writableFinished;
    });
    request.on("data", (chunk) => chunks.push(chunk));
    request.on("end", () => {
      const body = Buffer.concat(chunks).toString();
      const { method = "", id, params = {} } = body === "" ? {} : JSON.parse(body);
      const arrival: Arrival = {
        verb: request.method ?? "",
        headers: request.headers,
        text: body,
        method,
        id,
        params,
        response,
        hungUp: () => hungUp,
      };
      seen.push(arrival);
      answer(arrival).catch(() => response.destroy());
    });
  });
  server.listen(options.port ?? 0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    url: `${tls ? "https" : "http"}://127.0.0.1:${port}/mcp`,
    port,
    seen,
    calls: () => seen.filter(({ method }) => method === "tools/call"),
    async close() {
      server.closeAllConnections();
      if (server.listening) await new Promise((done) => server.close(done));
    },
  };
}

/** Servers of the official v2 SDK, one for each request as its handler makes them, over Streamable HTTP. */
export async function serveSdk(make: () => McpServer): Promise<Served> {
  const handler = createMcpHandler(make);
  const node = toNodeHandler(handler);
  const server = createServer((request, response) => {
    // Its structural type does not know exactOptionalPropertyTypes.
    node(request as NodeIncomingMessageLike, response).catch(() => response.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`,
    async close() {
      await handler.close();
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
}

/** A server on the official v2 SDK: structured results, progress, and a call that waits until it is cancelled. */
export async function serveModern() {
  const state = { waiting: 0, cancelled: 0 };
  const served = await serveSdk(() => {
    const server = new McpServer({ name: "modern-desk", version: "3" });
    server.registerTool(
      "echo",
      { inputSchema: z.object({ text: z.string() }), outputSchema: z.object({ said: z.string() }) },
      ({ text: said }) => ({
        content: [{ type: "text", text: said }],
        structuredContent: { said },
        _meta: { "desk.example/kept": { deep: [1, 2.5, null, "\u2028"] } },
      }),
    );
    server.registerTool("steps", { inputSchema: z.object({}) }, async (_, { mcpReq }) => {
      const progressToken = mcpReq._meta?.progressToken;
      for (const progress of progressToken === undefined ? [] : [1, 2]) {
        const params = { progressToken: progressToken as string, progress, total: 2 };
        await mcpReq.notify({ method: "notifications/progress", params });
      }
      return { content: [{ type: "text", text: "done" }] };
    });
    server.registerTool("wait", { inputSchema: z.object({}) }, (_, { mcpReq }) => {
      state.waiting += 1;
      return new Promise((_done, reject) => {
        mcpReq.signal.addEventListener("abort", () => {
          state.cancelled += 1;
          reject(new Error("aborted"));
        });
      });
    });
    return server;
  });
  return { ...served, state };
}
