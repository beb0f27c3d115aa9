import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import express from "express";
import type { Exchange, Refusal } from "../../src/domain.ts";
import { createHttp, type Http, type HttpOptions } from "../../src/http/http.ts";
import { silentLog } from "../../src/lib/log.ts";

/** An edge whose gate notes what reached it and answers `{"ok":true}`. */
export interface Edge extends Http {
  readonly handled: Exchange[];
  readonly refused: Refusal[];
  /** Replaces the gate. */
  handle: (exchange: Exchange) => Promise<void>;
}

export const LIMITS = { connections: 1000, body: 10_000, depth: 64, header_ms: 5000, body_ms: 5000 };

export function createEdge(options: Partial<HttpOptions> = {}): Edge {
  const handled: Exchange[] = [];
  const refused: Refusal[] = [];
  const edge = {
    handled,
    refused,
    handle: async (exchange: Exchange): Promise<void> => exchange.reply.json(200, '{"ok":true}'),
  };
  const http = createHttp({
    handle: async (exchange) => {
      handled.push(exchange);
      await edge.handle(exchange);
    },
    hasServer: (name) => name === "support",
    onRefusal: async (refusal) => {
      refused.push(refusal);
    },
    publicUrl: "https://mcp.example",
    allowedHosts: ["gateway.internal:8080"],
    allowedOrigins: ["https://app.example"],
    limits: LIMITS,
    mounts: [],
    ready: () => [],
    metrics: async () => "up 1\n",
    log: silentLog,
    ...options,
  });
  return Object.assign(edge, http);
}

export interface Running {
  readonly port: number;
  readonly prefix: string;
  close(): Promise<void>;
}

/** The ways in which the edge is run: each must behave the same. */
export const WAYS: Readonly<Record<string, (edge: Edge) => Promise<Running>>> = {
  "ahead of Express": async (edge) => {
    const { port, close } = await edge.listen("127.0.0.1", 0);
    return { port, prefix: "", close: () => close(0) };
  },
  "as an Express app": (edge) => run(createServer(edge.app), ""),
  "in a host's Express app": (edge) => run(createServer(express().use(edge.app)), ""),
  "in a host's Express app, under a prefix": (edge) =>
    run(createServer(express().use("/gw", edge.app)), "/gw"),
};

export async function run(server: Server, prefix: string): Promise<Running> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    prefix,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
