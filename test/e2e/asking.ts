import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import * as v2 from "@modelcontextprotocol/client";
import { type NodeIncomingMessageLike, toNodeHandler } from "@modelcontextprotocol/node";
import * as v1 from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport as V1Transport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { Server } from "@modelcontextprotocol/sdk/server/index.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import type { RequestHandlerExtra } from "@modelcontextprotocol/sdk/shared/protocol.js";
import {
  CallToolRequestSchema,
  CreateMessageRequestSchema,
  CreateMessageResultSchema,
  ElicitRequestSchema,
  ElicitResultSchema,
  ListResourcesRequestSchema,
  ListRootsRequestSchema,
  ListRootsResultSchema,
  ListToolsRequestSchema,
  RootsListChangedNotificationSchema,
  type ServerNotification,
  type ServerRequest,
  SubscribeRequestSchema,
  UnsubscribeRequestSchema,
  UrlElicitationRequiredError,
} from "@modelcontextprotocol/sdk/types.js";
import { createMcpHandler, inputRequired, McpServer } from "@modelcontextprotocol/server";
import { z } from "zod";
import type { Json, JsonObject } from "../../src/lib/json.ts";

// ---------------------------------------------------------------- servers that ask

const FORM = {
  mode: "form",
  message: "Your name?",
  requestedSchema: { type: "object", properties: { name: { type: "string" } } },
} as const;
const PAGE = { mode: "url", message: "Open this", url: "https://desk.example/open" } as const;
const PROMPT = { messages: [{ role: "user", content: { type: "text", text: "hi" } }], maxTokens: 5 };

type Extra = RequestHandlerExtra<ServerRequest, ServerNotification>;
type Tool = (extra: Extra, server: Server) => Promise<unknown>;

async function listenOn(listener: RequestListener) {
  const server = createServer(listener);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`,
    async close() {
      server.closeAllConnections();
      if (server.listening) await new Promise((done) => server.close(done));
    },
  };
}

async function bodyOf(request: IncomingMessage): Promise<JsonObject | undefined> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return chunks.length === 0 ? undefined : JSON.parse(Buffer.concat(chunks).toString());
}

/** On the official v1 SDK, stateful: asks on the stream of the call, or beside it. */
export async function serveAskingLegacy() {
  const sessions = new Map<string, { transport: StreamableHTTPServerTransport; server: Server }>();
  const subscribed = new Map<string, Set<string>>();
  const state = {
    calls: 0,
    cancelled: 0,
    waiting: 0,
    rootsChanged: 0,
    failures: [] as string[],
    progressed: () => {},
  };
  let opened = false;

  const asks = {
    elicit: (extra: Extra) =>
      extra.sendRequest({ method: "elicitation/create", params: FORM }, ElicitResultSchema),
    url: (extra: Extra) =>
      extra.sendRequest(
        { method: "elicitation/create", params: { ...PAGE, elicitationId: "page-1" } },
        ElicitResultSchema,
      ),
    sample: (extra: Extra) =>
      extra.sendRequest(
        { method: "sampling/createMessage", params: PROMPT } as never,
        CreateMessageResultSchema,
      ),
    roots: (extra: Extra) => extra.sendRequest({ method: "roots/list" }, ListRootsResultSchema),
  };
  const tools: Record<string, Tool> = {
    ...asks,
    /** On the session's own stream, tied to no request. */
    aside: (_, server) => server.elicitInput(FORM),
    both: (extra) => Promise.all([asks.elicit(extra), asks.roots(extra)]),
    twice: async (extra) => [await asks.elicit(extra), await asks.sample(extra)],
    open: async () => {
      if (opened) return "opened";
      opened = true;
      throw new UrlElicitationRequiredError([{ ...PAGE, elicitationId: "page-2" }]);
    },
    echo: async () => "echo",
    /** One step of progress, and then nothing until it is told to go on. */
    slow: async ({ _meta, sendNotification }) => {
      const params = { progressToken: _meta?.progressToken ?? 0, progress: 1 };
      await sendNotification({ method: "notifications/progress", params });
      await new Promise<void>((go) => {
        state.progressed = go;
      });
      return "slow";
    },
    /** Asks, and then takes for ever. */
    slowly: async (extra) => {
      await asks.elicit(extra);
      state.waiting += 1;
      await new Promise((_, reject) =>
        extra.signal.addEventListener("abort", () => reject(new Error("aborted"))),
      );
    },
    /** As slow as that, and asks then. */
    late: async (extra, server) => {
      await tools.slow?.(extra, server);
      return asks.elicit(extra);
    },
    /** Answers, and asks when it is told to go on. */
    after: async (_, server) => {
      new Promise<void>((go) => {
        state.progressed = go;
      })
        .then(() => server.elicitInput(FORM))
        .catch((error: Error) => state.failures.push(error.message));
      return "after";
    },
    log: async ({ sendNotification }) => {
      for (const level of ["debug", "error"] as const)
        await sendNotification({ method: "notifications/message", params: { level, data: level } });
      return "logged";
    },
    /** Says more than a call may say. */
    gossip: async ({ sendNotification }) => {
      for (const uri of ["note://hidden", "note://b"])
        await sendNotification({ method: "notifications/resources/updated", params: { uri } });
      await sendNotification({ method: "notifications/made/up", params: {} } as never);
      return "gossip";
    },
    flood: async ({ _meta, sendNotification }) => {
      const message = "x".repeat(100_000);
      for (let progress = 1; progress <= 400; progress += 1)
        await sendNotification({
          method: "notifications/progress",
          params: { progressToken: _meta?.progressToken ?? 0, progress, message },
        });
      return "flooded";
    },
  };

  function open(): StreamableHTTPServerTransport {
    const server = new Server(
      { name: "asking", version: "1" },
      { capabilities: { tools: {}, logging: {}, resources: { subscribe: true } } },
    );
    server.setRequestHandler(ListToolsRequestSchema, () => ({
      tools: Object.keys(tools).map((name) => ({
        name,
        inputSchema: { type: "object" as const, properties: { n: {} } },
      })),
    }));
    server.setRequestHandler(ListResourcesRequestSchema, () => ({
      resources: ["note://a", "note://b"].map((uri) => ({ uri, name: uri })),
    }));
    server.setRequestHandler(CallToolRequestSchema, async ({ params }, extra) => {
      state.calls += 1;
      extra.signal.addEventListener("abort", () => {
        state.cancelled += 1;
        state.progressed();
      });
      try {
        const said = await tools[params.name]?.(extra, server);
        return { content: [{ type: "text" as const, text: JSON.stringify(said) }] };
      } catch (error) {
        state.failures.push((error as Error).message);
        throw error;
      }
    });
    server.setRequestHandler(SubscribeRequestSchema, ({ params: { uri } }, { sessionId = "" }) => {
      subscribed.set(sessionId, (subscribed.get(sessionId) ?? new Set()).add(uri));
      return {};
    });
    server.setRequestHandler(UnsubscribeRequestSchema, ({ params: { uri } }, { sessionId = "" }) => {
      subscribed.get(sessionId)?.delete(uri);
      return {};
    });
    server.setNotificationHandler(RootsListChangedNotificationSchema, () => {
      state.rootsChanged += 1;
    });
    const transport = new StreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      onsessioninitialized: (id) => void sessions.set(id, { transport, server }),
      onsessionclosed: (id) => void sessions.delete(id),
    });
    server.connect(transport as Parameters<Server["connect"]>[0]).catch(() => {});
    return transport;
  }

  const http = await listenOn(async (request, response) => {
    const message = await bodyOf(request);
    const id = request.headers["mcp-session-id"];
    const known = typeof id === "string" ? sessions.get(id)?.transport : undefined;
    if (id !== undefined && known === undefined) return void response.writeHead(404).end();
    await (known ?? open()).handleRequest(request, response, message);
  });
  return {
    ...http,
    state,
    sessions,
    subscribed: (uri: string) =>
      [...subscribed].filter(([id, uris]) => sessions.has(id) && uris.has(uri)).length,
    async update(uri: string) {
      for (const [id, uris] of subscribed)
        if (uris.has(uri)) await sessions.get(id)?.server.sendResourceUpdated({ uri });
    },
    async log(level: "debug" | "error") {
      for (const [id, { server }] of sessions) await server.sendLoggingMessage({ level, data: level }, id);
    },
  };
}

/** On the official v2 SDK: answers with questions. */
export async function serveAskingModern() {
  const state = { calls: 0 };
  const form = inputRequired.elicit({ message: FORM.message, requestedSchema: FORM.requestedSchema });
  const ASKS = {
    elicit: { name: form },
    url: { page: inputRequired.elicitUrl({ message: PAGE.message, url: PAGE.url }) },
    sample: { model: inputRequired.createMessage(PROMPT as never) },
    roots: { roots: inputRequired.listRoots() },
    both: { name: form, roots: inputRequired.listRoots() },
  } as const;
  const handler = createMcpHandler(() => {
    const server = new McpServer({ name: "asking", version: "2" }, { capabilities: { tools: {} } });
    for (const [name, inputRequests] of Object.entries(ASKS))
      server.registerTool(name, { inputSchema: z.object({ n: z.any().optional() }) }, ({ n }, { mcpReq }) => {
        state.calls += 1;
        const responses = mcpReq.inputResponses ?? {};
        const isWhole = Object.keys(inputRequests).every((key) => Object.hasOwn(responses, key));
        const requestState = `${name} so far`.padEnd(Number(n ?? 0), "…");
        if (!isWhole) return inputRequired({ inputRequests, requestState });
        const text = JSON.stringify([Object.values(responses), mcpReq.requestState()]);
        return { content: [{ type: "text", text }] };
      });
    server.registerTool("echo", { inputSchema: z.object({ n: z.any().optional() }) }, () => ({
      content: [{ type: "text", text: '"echo"' }],
    }));
    for (const uri of ["note://a", "note://b"])
      server.registerResource(uri, uri, {}, () => ({ contents: [{ uri, text: uri }] }));
    return server;
  });
  const node = toNodeHandler(handler);
  const http = await listenOn((request, response) => {
    node(request as NodeIncomingMessageLike, response).catch(() => response.destroy());
  });
  return { ...http, state, notify: handler.notify };
}

// ---------------------------------------------------------------- clients that answer

export type Asking = "elicitation" | "sampling" | "roots";
export const ALL: readonly Asking[] = ["elicitation", "sampling", "roots"];

export const ANSWERS = {
  elicitation: { action: "accept", content: { name: "ann" } },
  sampling: { role: "assistant", model: "m", content: { type: "text", text: "hello" } },
  roots: { roots: [{ uri: "file:///ann" }] },
} as const;

export const CAPABILITIES = {
  elicitation: { form: {}, url: {} },
  sampling: {},
  roots: { listChanged: true },
};

export interface AskedClient {
  call(name: string, options?: { readonly signal?: AbortSignal; readonly timeout?: number }): Promise<Json>;
  /** What it was asked: method and mode. */
  readonly asked: readonly string[];
  /** Notifications other than progress. */
  readonly heard: readonly JsonObject[];
  readonly client: v1.Client | v2.Client;
  close(): Promise<void>;
}

export interface AskedOptions {
  /** What it declares and answers. */
  readonly can?: readonly Asking[];
  readonly fetch?: typeof fetch;
}

export type ConnectAsked = (url: string, token: string, options?: AskedOptions) => Promise<AskedClient>;

const INFO = { name: "an asked client", version: "1" };

function capabilitiesOf(can: readonly Asking[]): JsonObject {
  return Object.fromEntries(can.map((kind) => [kind, CAPABILITIES[kind]]));
}

function wrap(client: v1.Client | v2.Client, asked: string[], heard: JsonObject[]): AskedClient {
  const called = client as unknown as {
    callTool(params: object, ...more: unknown[]): Promise<{ content: { text: string }[]; isError?: boolean }>;
    fallbackNotificationHandler: (notification: JsonObject) => Promise<void>;
    close(): Promise<void>;
  };
  called.fallbackNotificationHandler = async (notification) => void heard.push(notification);
  return {
    client,
    asked,
    heard,
    async call(name, options = {}) {
      const params = { name, arguments: {} };
      const result =
        client instanceof v1.Client
          ? await called.callTool(params, undefined, options)
          : await called.callTool(params, options);
      const text = result.content[0]?.text ?? "null";
      if (result.isError) throw new Error(text);
      return JSON.parse(text);
    },
    close: () => called.close(),
  };
}

export const askedV1: ConnectAsked = async (url, token, { can = ALL, fetch } = {}) => {
  const asked: string[] = [];
  const client = new v1.Client(INFO, { capabilities: capabilitiesOf(can) });
  if (can.includes("elicitation"))
    client.setRequestHandler(ElicitRequestSchema, ({ params }) => {
      asked.push(`elicitation ${params.mode ?? "form"}`);
      return { ...ANSWERS.elicitation };
    });
  if (can.includes("sampling"))
    client.setRequestHandler(CreateMessageRequestSchema, () => {
      asked.push("sampling");
      return { ...ANSWERS.sampling };
    });
  if (can.includes("roots"))
    client.setRequestHandler(ListRootsRequestSchema, () => {
      asked.push("roots");
      return { roots: [...ANSWERS.roots.roots] };
    });
  const wrapped = wrap(client, asked, []);
  const transport = new V1Transport(new URL(url), {
    requestInit: { headers: { authorization: `Bearer ${token}` } },
    ...(fetch && { fetch }),
  });
  await client.connect(transport as never);
  return wrapped;
};

function askedV2(mode: "legacy" | { pin: string }): ConnectAsked {
  return async (url, token, { can = ALL, fetch } = {}) => {
    const asked: string[] = [];
    const client = new v2.Client(INFO, { capabilities: capabilitiesOf(can), versionNegotiation: { mode } });
    if (can.includes("elicitation"))
      client.setRequestHandler("elicitation/create", ({ params }) => {
        asked.push(`elicitation ${params.mode ?? "form"}`);
        return { ...ANSWERS.elicitation };
      });
    if (can.includes("sampling"))
      client.setRequestHandler("sampling/createMessage", () => {
        asked.push("sampling");
        return { ...ANSWERS.sampling };
      });
    if (can.includes("roots"))
      client.setRequestHandler("roots/list", () => {
        asked.push("roots");
        return { roots: [...ANSWERS.roots.roots] };
      });
    const wrapped = wrap(client, asked, []);
    await client.connect(
      new v2.StreamableHTTPClientTransport(new URL(url), {
        requestInit: { headers: { authorization: `Bearer ${token}` } },
        ...(fetch && { fetch }),
      }),
    );
    return wrapped;
  };
}

export const askedModern = askedV2({ pin: "2026-07-28" });
export const ASKED_CLIENTS: readonly (readonly [string, ConnectAsked])[] = [
  ["v1 (legacy)", askedV1],
  ["v2 (legacy)", askedV2("legacy")],
  ["v2 (modern)", askedModern],
];
