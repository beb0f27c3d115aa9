import * as v2 from "@modelcontextprotocol/client";
import * as v1 from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import type { JsonObject } from "../../src/lib/json.ts";

/** What the stock clients of both SDKs do beyond tools. */
export interface FullClient {
  listResources(params?: JsonObject): Promise<JsonObject>;
  listResourceTemplates(): Promise<JsonObject>;
  readResource(params: { uri: string }): Promise<JsonObject>;
  listPrompts(): Promise<JsonObject>;
  getPrompt(params: { name: string; arguments?: Record<string, string> }): Promise<JsonObject>;
  complete(params: {
    ref: { type: "ref/prompt"; name: string } | { type: "ref/resource"; uri: string };
    argument: { name: string; value: string };
    context?: { arguments: Record<string, string> };
  }): Promise<JsonObject>;
  callTool(params: { name: string; arguments: JsonObject }): Promise<JsonObject>;
  close(): Promise<void>;
}

export type ConnectFull = (url: string, token?: string) => Promise<FullClient>;

const INFO = { name: "a stock client", version: "1.0.0" };

function bearer(token: string | undefined) {
  return token === undefined ? {} : { requestInit: { headers: { authorization: `Bearer ${token}` } } };
}

export const fullV1: ConnectFull = async (url, token) => {
  const client = new v1.Client(INFO);
  // Its declarations do not know exactOptionalPropertyTypes.
  await client.connect(new StreamableHTTPClientTransport(new URL(url), bearer(token)) as never);
  return client as unknown as FullClient;
};

export const fullV2: ConnectFull = async (url, token) => {
  const client = new v2.Client(INFO, { versionNegotiation: { mode: { pin: "2026-07-28" } } });
  await client.connect(new v2.StreamableHTTPClientTransport(new URL(url), bearer(token)));
  return client as unknown as FullClient;
};

export const FULL_CLIENTS: readonly (readonly [string, ConnectFull])[] = [
  ["v1 (legacy)", fullV1],
  ["v2 (modern)", fullV2],
];
