import { connect, type Socket } from "node:net";
import { createParser } from "eventsource-parser";
import type { JsonObject } from "../../src/lib/json.ts";
import type { Issuer } from "../identity/issuer.ts";
import { until } from "./world.ts";

/** One event of a stream; without a message it only marks a place. */
export interface Heard {
  readonly id: string | undefined;
  readonly message: JsonObject | undefined;
}

/** An event stream as it comes. */
export interface Stream {
  readonly status: number;
  readonly headers: Headers;
  /** The body, where it is no event stream. */
  readonly text: string;
  readonly events: readonly Heard[];
  readonly comments: readonly string[];
  readonly hasEnded: () => boolean;
  /** The first message, or the next one after those that were given, of a method or with an answer. */
  next(method: string): Promise<JsonObject>;
  /** Methods and answers, in order. */
  said(): readonly string[];
  close(): void;
}

async function openEvents(url: string, init: RequestInit): Promise<Stream> {
  const stop = new AbortController();
  const response = await fetch(url, { ...init, signal: stop.signal });
  const events: Heard[] = [];
  const comments: string[] = [];
  const given = new Set<Heard>();
  let ended = false;
  let text = "";
  const parser = createParser({
    onEvent: ({ id, data }) => void events.push({ id, message: data === "" ? undefined : JSON.parse(data) }),
    onComment: (comment) => void comments.push(comment),
  });
  const isStream = response.headers.get("content-type")?.startsWith("text/event-stream") === true;
  async function read(): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of response.body ?? [])
      parser.feed(decoder.decode(chunk as Uint8Array, { stream: true }));
  }
  if (isStream)
    read()
      .catch(() => {})
      .finally(() => {
        ended = true;
      });
  else text = await response.text();
  const saying = ({ message }: Heard) =>
    message === undefined
      ? "mark"
      : String(message.method ?? (message.result === undefined ? "error" : "result"));
  return {
    status: response.status,
    headers: response.headers,
    text,
    events,
    comments,
    hasEnded: () => ended,
    async next(method) {
      const found = await until(`${method} after ${events.map(saying)}`, () =>
        events.find((event) => !given.has(event) && saying(event) === method),
      );
      given.add(found);
      return found.message ?? {};
    },
    said: () => events.map(saying),
    close: () => stop.abort(),
  };
}

/** One legacy client, written out. */
export interface RawSession {
  readonly id: string;
  readonly token: string;
  /** A request: its answer as it comes. */
  call(id: number | string, method: string, params: JsonObject): Promise<Stream>;
  /** A notification or an answer: its status. */
  tell(message: JsonObject): Promise<number>;
  get(lastEventId?: string): Promise<Stream>;
  delete(): Promise<number>;
}

export interface RawOptions {
  readonly capabilities?: JsonObject;
  readonly version?: string;
}

export async function openRaw(url: string, token: string, options: RawOptions = {}): Promise<RawSession> {
  const { capabilities = {}, version = "2025-11-25" } = options;
  const base = {
    "content-type": "application/json",
    accept: "application/json, text/event-stream",
    authorization: `Bearer ${token}`,
  };
  const post = (headers: Record<string, string>, body: JsonObject) => ({
    method: "POST",
    headers,
    body: JSON.stringify({ jsonrpc: "2.0", ...body }),
  });
  const clientInfo = { name: "raw", version: "1" };
  const params = { protocolVersion: version, capabilities, clientInfo };
  const opened = await fetch(url, post(base, { id: 0, method: "initialize", params }));
  const id = opened.headers.get("mcp-session-id");
  if (id === null) throw new Error(`no session: ${await opened.text()}`);
  const headers = { ...base, "mcp-session-id": id, "mcp-protocol-version": version };
  return {
    id,
    token,
    call: (request, method, asked) => openEvents(url, post(headers, { id: request, method, params: asked })),
    tell: async (message) => (await fetch(url, post(headers, message))).status,
    get: (last) =>
      openEvents(url, {
        method: "GET",
        headers: { ...headers, ...(last !== undefined && { "last-event-id": last }) },
      }),
    delete: async () => (await fetch(url, { method: "DELETE", headers })).status,
  };
}

export const META = "io.modelcontextprotocol/";

/** The bytes of a modern client's call. */
export function callBytes(url: string, token: string, name: string, meta: JsonObject = {}): string {
  const { host, pathname } = new URL(url);
  const _meta = { ...meta, [`${META}protocolVersion`]: "2026-07-28", [`${META}clientCapabilities`]: {} };
  const params = { name, arguments: {}, _meta };
  const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/call", params });
  const head = [
    `POST ${pathname} HTTP/1.1`,
    `Host: ${host}`,
    `Authorization: Bearer ${token}`,
    "Content-Type: application/json",
    "Accept: application/json, text/event-stream",
    "MCP-Protocol-Version: 2026-07-28",
    "Mcp-Method: tools/call",
    `Mcp-Name: ${name}`,
    `Content-Length: ${Buffer.byteLength(body)}`,
  ];
  return `${head.join("\r\n")}\r\n\r\n${body}`;
}

/** A modern client that calls a tool, and reads nothing of what comes. */
export function callUnread(url: string, token: string, name: string, meta: JsonObject = {}): Socket {
  const { port, hostname } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.pause();
  socket.on("error", () => {});
  socket.write(callBytes(url, token, name, meta));
  return socket;
}

/** `subscriptions/listen` of a modern client. */
export function listenRaw(
  url: string,
  token: string,
  notifications: JsonObject,
  id: number | string = 1,
): Promise<Stream> {
  const _meta = { [`${META}protocolVersion`]: "2026-07-28", [`${META}clientCapabilities`]: {} };
  const method = "subscriptions/listen";
  return openEvents(url, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      accept: "application/json, text/event-stream",
      authorization: `Bearer ${token}`,
      "mcp-protocol-version": "2026-07-28",
      "mcp-method": method,
    },
    body: JSON.stringify({ jsonrpc: "2.0", id, method, params: { notifications, _meta } }),
  });
}

const ROLES: Readonly<Record<string, readonly string[]>> = {
  ann: ["support"],
  bob: ["lead"],
  dee: ["support"],
};

/** A token of an issuer of the test's own: the same for every replica, and as short as it wants. */
export function tokenOf(issuer: Issuer, url: string, user: string, seconds = 600): Promise<string> {
  const now = Math.floor(Date.now() / 1000);
  return issuer.sign({
    iss: issuer.issuer,
    aud: url,
    sub: user,
    tenant: user === "dee" ? "globex" : "acme",
    roles: [...(ROLES[user] ?? [])],
    iat: now,
    exp: now + seconds,
    scope: "mcp",
  });
}

/** For `issuers` of a configuration. */
export function issuerConfig({ issuer, jwks_uri }: Pick<Issuer, "issuer" | "jwks_uri">): JsonObject {
  return { issuer, jwks_uri, tenant: { claim: "tenant" }, claims: { roles: "roles" } };
}
