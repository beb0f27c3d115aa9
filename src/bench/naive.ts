import { randomUUID } from "node:crypto";
import type { AddressInfo } from "node:net";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { Server } from "@modelcontextprotocol/sdk/server/index.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import {
  CallToolRequestSchema,
  CallToolResultSchema,
  isInitializeRequest,
  ListToolsRequestSchema,
} from "@modelcontextprotocol/sdk/types.js";
import express from "express";

/** What one would write in an afternoon: Express, the SDK's server in front, the SDK's client behind, no checks. */
export async function startNaive(upstream: string): Promise<{ readonly url: string }> {
  const client = new Client({ name: "naive", version: "1" });
  await client.connect(new StreamableHTTPClientTransport(new URL(upstream)));
  const sessions = new Map<string, StreamableHTTPServerTransport>();

  const app = express();
  app.use(express.json());
  app.post("/mcp", async (request, response) => {
    const id = request.headers["mcp-session-id"];
    const known = typeof id === "string" ? sessions.get(id) : undefined;
    if (!known && !isInitializeRequest(request.body)) return void response.status(404).end();
    const transport = known ?? (await open());
    await transport.handleRequest(request, response, request.body);
  });

  async function open(): Promise<StreamableHTTPServerTransport> {
    const transport = new StreamableHTTPServerTransport({
      sessionIdGenerator: () => randomUUID(),
      enableJsonResponse: true,
      onsessioninitialized: (id) => void sessions.set(id, transport),
    });
    const server = new Server({ name: "naive", version: "1" }, { capabilities: { tools: {} } });
    server.setRequestHandler(ListToolsRequestSchema, (request) => client.listTools(request.params));
    server.setRequestHandler(CallToolRequestSchema, (request) =>
      client.callTool(request.params, CallToolResultSchema),
    );
    // The SDK's own classes disagree under exactOptionalPropertyTypes.
    await server.connect(transport as Parameters<typeof server.connect>[0]);
    return transport;
  }

  return new Promise((resolve) => {
    const listening = app.listen(0, "127.0.0.1", () => {
      resolve({ url: `http://127.0.0.1:${(listening.address() as AddressInfo).port}/mcp` });
    });
  });
}
