import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { Server } from "@modelcontextprotocol/sdk/server/index.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import type { RequestHandlerExtra } from "@modelcontextprotocol/sdk/shared/protocol.js";
import {
  CallToolRequestSchema,
  CreateMessageResultSchema,
  ElicitResultSchema,
  type JSONRPCMessage,
  ListRootsResultSchema,
  type ServerNotification,
  type ServerRequest,
  SubscribeRequestSchema,
  UnsubscribeRequestSchema,
} from "@modelcontextprotocol/sdk/types.js";
import { event, onClose } from "./servers.ts";

type Extra = RequestHandlerExtra<ServerRequest, ServerNotification>;
type Tool = (server: Server, extra: Extra) => Promise<unknown>;

const FORM = {
  mode: "form",
  message: "Your name?",
  requestedSchema: { type: "object", properties: { name: { type: "string" } } },
} as const;
const PROMPT = { messages: [{ role: "user", content: { type: "text", text: "hi" } }], maxTokens: 5 } as const;

const TOOLS: Record<string, Tool> = {
  echo: async () => "echo",
  hang: (_, { signal }) => new Promise((done) => signal.addEventListener("abort", done)),
  elicit: (_, extra) => extra.sendRequest({ method: "elicitation/create", params: FORM }, ElicitResultSchema),
  sample: (_, extra) =>
    extra.sendRequest(
      { method: "sampling/createMessage", params: { ...PROMPT, messages: [...PROMPT.messages] } },
      CreateMessageResultSchema,
    ),
  roots: (_, extra) => extra.sendRequest({ method: "roots/list" }, ListRootsResultSchema),
  both: (server, extra) => Promise.all([TOOLS.elicit?.(server, extra), TOOLS.roots?.(server, extra)]),
  /** As many servers do: on the session's own stream, tied to no request. */
  elicitAside: (server) => server.elicitInput(FORM),
  log: async (server, extra) => {
    await extra.sendNotification({
      method: "notifications/message",
      params: { level: "info", data: "near" },
    });
    await server.sendLoggingMessage({ level: "error", data: "aside" }, extra.sessionId);
    return "logged";
  },
  /** What a server that is being debugged says. */
  logRequest: async (server, { requestInfo, sessionId }) => {
    await server.sendLoggingMessage({ level: "info", data: requestInfo?.headers }, sessionId);
    return "logged";
  },
  /** SEP-1699: closes the stream and lets the client come back for the answer. */
  poll: async (_, extra) => {
    extra.closeSSEStream?.();
    await new Promise((done) => setTimeout(done, 30));
    return "polled";
  },
};

/** A stateful server of the legacy era on the official v1 SDK, with everything that it can ask and announce. */
export async function serveStateful() {
  const sessions = new Map<string, { transport: StreamableHTTPServerTransport; server: Server }>();
  const seen: {
    verb: string;
    method: string;
    message: unknown;
    request: IncomingMessage;
    response: ServerResponse;
  }[] = [];
  const subscriptions = new Map<string, Set<string>>();
  const subscribed = event();

  function open(): StreamableHTTPServerTransport {
    const server = new Server(
      { name: "stateful", version: "1" },
      {
        capabilities: {
          tools: { listChanged: true },
          logging: {},
          resources: { subscribe: true, listChanged: true },
          prompts: { listChanged: true },
        },
      },
    );
    server.setRequestHandler(CallToolRequestSchema, async ({ params }, extra) => {
      const said = await TOOLS[params.name]?.(server, extra);
      return { content: [{ type: "text" as const, text: JSON.stringify(said) }] };
    });
    server.setRequestHandler(SubscribeRequestSchema, async ({ params: { uri } }, { sessionId = "" }) => {
      if (uri.startsWith("secret:")) throw new Error("no");
      subscriptions.set(sessionId, (subscriptions.get(sessionId) ?? new Set()).add(uri));
      subscribed.resolve();
      if (uri.startsWith("slow:")) await new Promise((done) => setTimeout(done, 100));
      return {};
    });
    server.setRequestHandler(UnsubscribeRequestSchema, ({ params: { uri } }, { sessionId = "" }) => {
      subscriptions.get(sessionId)?.delete(uri);
      return {};
    });
    const transport = new StreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      eventStore: createEventStore(),
      retryInterval: 20,
      onsessioninitialized: (id) => void sessions.set(id, { transport, server }),
      onsessionclosed: (id) => void sessions.delete(id),
    });
    server.connect(transport as Parameters<Server["connect"]>[0]).catch(() => {});
    return transport;
  }

  const http = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const message = chunks.length === 0 ? undefined : JSON.parse(Buffer.concat(chunks).toString());
    seen.push({ verb: request.method ?? "", method: message?.method ?? "", message, request, response });
    if (message?.params?.uri?.startsWith("down:")) return void response.writeHead(503).end();
    const id = request.headers["mcp-session-id"];
    const known = typeof id === "string" ? sessions.get(id)?.transport : undefined;
    if (id !== undefined && known === undefined) return void response.writeHead(404).end();
    await (known ?? open()).handleRequest(request, response, message);
  });
  http.listen(0, "127.0.0.1");
  await once(http, "listening");
  const close = async () => {
    http.closeAllConnections();
    if (http.listening) await new Promise((done) => http.close(done));
  };
  onClose(close);
  return {
    url: `http://127.0.0.1:${(http.address() as AddressInfo).port}/mcp`,
    seen,
    sessions,
    subscriptions,
    subscribed: subscribed.promise,
    /** As a restart does: nothing is known any more. */
    forgetAll() {
      for (const { transport } of sessions.values()) transport.close().catch(() => {});
      sessions.clear();
      subscriptions.clear();
    },
    async update(uri: string) {
      for (const [id, uris] of subscriptions)
        if (uris.has(uri)) await sessions.get(id)?.server.sendResourceUpdated({ uri });
    },
    dropConnections: () => http.closeAllConnections(),
    close,
  };
}

function createEventStore() {
  const events: { readonly id: string; readonly stream: string; readonly message: JSONRPCMessage }[] = [];
  return {
    async storeEvent(stream: string, message: JSONRPCMessage) {
      const id = `${stream}/${events.length}`;
      events.push({ id, stream, message });
      return id;
    },
    async replayEventsAfter(
      last: string,
      { send }: { send: (id: string, message: JSONRPCMessage) => Promise<void> },
    ) {
      const at = events.findIndex(({ id }) => id === last);
      const stream = events[at]?.stream ?? "";
      for (const one of events.slice(at + 1))
        if (one.stream === stream && "jsonrpc" in one.message) await send(one.id, one.message);
      return stream;
    },
  };
}
