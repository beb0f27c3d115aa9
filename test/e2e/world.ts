import { readdirSync, readFileSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import * as v2 from "@modelcontextprotocol/client";
import * as v1 from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport as V1Transport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import type { LogRecord } from "../../src/audit/line.ts";
import { readLog } from "../../src/audit/read.ts";
import { load } from "../../src/compose/load.ts";
import type { DecisionEntry, Era, OutcomeEntry } from "../../src/domain.ts";
import { createGateway, type Gateway } from "../../src/gateway.ts";
import type { JsonObject } from "../../src/lib/json.ts";
import { createLog } from "../../src/operation/log.ts";
import { ownPort } from "../support/port.ts";
import { checkLines } from "./log-lines.ts";

export const ROOT = resolve(import.meta.dirname, "../..");
export const OFFICIAL = join(ROOT, "node_modules/@modelcontextprotocol");

/** Files by their path relative to the configuration. */
export type Files = Readonly<Record<string, string>>;

export interface WorldOptions {
  /** portcullis.yaml, but for what every world has: where it listens, sample users, two tenants, folders. */
  readonly config: JsonObject;
  /** Beside host, port and public URL. */
  readonly listen?: JsonObject;
  /** The platform's policies. */
  readonly policies: string | Files;
  readonly files?: Files;
  readonly env?: Readonly<Record<string, string>>;
  /** The policies are meant to be bad. */
  readonly bad?: true;
}

export type Decision = LogRecord & DecisionEntry;
export type Outcome = LogRecord & OutcomeEntry;

/** A gateway in a folder of its own, on a free port. */
export interface World {
  readonly gateway: Gateway;
  readonly origin: string;
  readonly directory: string;
  /** What the operational log was told, as text. */
  readonly said: readonly string[];
  url(server: string): string;
  token(user: string, server: string): Promise<string>;
  records(): Promise<readonly LogRecord[]>;
  decisions(): Promise<readonly Decision[]>;
  outcomes(): Promise<readonly Outcome[]>;
  close(): Promise<void>;
}

/** Opens everything to everyone. */
export const OPEN = 'package authz\n\ngrant contains {"reason": "anyone"}\n';

const USERS = {
  ann: { tenant: "acme", roles: ["support"] },
  bob: { tenant: "acme", roles: ["lead"] },
  dee: { tenant: "globex", roles: ["support"] },
};

/** The folder and the text of a configuration; nothing is started. */
export async function writeWorld({ config, listen = {}, policies, files = {} }: WorldOptions) {
  const directory = await mkdtemp(join(tmpdir(), "e2e-"));
  const port = await ownPort();
  const servers = Object.keys(config.servers as JsonObject);
  const whole = {
    listen: { host: "127.0.0.1", port, public_url: `http://127.0.0.1:${port}`, ...listen },
    authorization_server: { users: USERS },
    tenants: { acme: { record: {}, servers }, globex: { record: {}, servers } },
    policies: { path: "./policies" },
    audit: { path: "./log" },
    state: { path: "./state" },
    log: { level: "debug" },
    ...config,
  };
  const rego = typeof policies === "string" ? { "main.rego": policies } : policies;
  const below = Object.entries(rego).map(([path, text]) => [`policies/${path}`, text] as const);
  // JSON is YAML.
  const all = [
    ["portcullis.yaml", JSON.stringify(whole, null, 2)],
    ...below,
    ...Object.entries(files),
  ] as const;
  for (const [path, text] of all) await writeIn(directory, path, text);
  return { directory, file: join(directory, "portcullis.yaml"), origin: whole.listen.public_url, port };
}

export async function writeIn(directory: string, path: string, text: string): Promise<void> {
  await mkdir(dirname(join(directory, path)), { recursive: true });
  await writeFile(join(directory, path), text);
}

export async function openWorld(options: WorldOptions): Promise<World> {
  return openWritten(await writeWorld(options), options);
}

/** What `writeWorld` wrote, once nothing is served from it; every line of its log must be as its schema says. */
export async function removeWritten(directory: string): Promise<void> {
  try {
    checkLines(join(directory, "log"));
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** Opens what `writeWorld` wrote. */
export async function openWritten(
  { directory, file, origin }: Awaited<ReturnType<typeof writeWorld>>,
  options: WorldOptions,
): Promise<World> {
  const env = { PATH: process.env.PATH, HOME: process.env.HOME, ...options.env };
  const loaded = await load({ config: file }, { cwd: directory, env }, { secrets: true });
  if (!loaded.ok) throw new Error(loaded.problems.map(({ message }) => message).join("\n"));
  const said: string[] = [];
  const log = createLog("debug", { write: (line: string) => void said.push(line) });
  const gateway = await createGateway({ config: loaded.config, env, log });
  const problems = gateway.status().policies.platform.lastError?.problems ?? [];
  if (problems.length > 0 && !options.bad) throw new Error(JSON.stringify(problems));
  await gateway.listen();
  const records = async () => {
    const all: LogRecord[] = [];
    for await (const record of readLog(join(directory, "log"))) all.push(record);
    return all;
  };
  return {
    gateway,
    origin,
    directory,
    said,
    url: gateway.urlOf,
    token: async (user, server) => (await gateway.token(user, server)).reveal(),
    records,
    decisions: async () => (await records()).filter((one): one is Decision => one.phase === "decision"),
    outcomes: async () => (await records()).filter((one): one is Outcome => one.phase === "outcome"),
    async close() {
      await gateway.close();
      await removeWritten(directory);
    },
  };
}

/** Everything below a folder as text. */
export function textBelow(directory: string): string {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => readFileSync(join(entry.parentPath, entry.name), "latin1"))
    .join("\n");
}

type Maybe<T> = T | undefined | null | false;

/** Ends what waits in vain, before the test's own time does. */
const PATIENCE_MS = 120_000;

/** Asks again until it is so. */
export async function until<T>(what: string, ask: () => Maybe<T> | Promise<Maybe<T>>): Promise<T> {
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    const found = await ask();
    if (found !== undefined && found !== null && found !== false) return found;
    if (Date.now() > deadline) throw new Error(`waited in vain for ${what}`);
    await new Promise((next) => setTimeout(next, 5));
  }
}

// ---------------------------------------------------------------- clients

const META = "io.modelcontextprotocol/";
const MODERN_META = {
  [`${META}protocolVersion`]: "2026-07-28",
  [`${META}clientInfo`]: { name: "raw", version: "1" },
  [`${META}clientCapabilities`]: {},
};

export interface Sent {
  readonly token?: string;
  readonly era?: Era;
  readonly id?: string | number;
  readonly session?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

export interface Answered {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** The JSON-RPC answer, from JSON or the end of an event stream. */
  readonly body: { readonly id?: unknown; readonly result?: JsonObject; readonly error?: RpcError };
  /** What came before it on an event stream. */
  readonly before: readonly JsonObject[];
}

export interface RpcError {
  readonly code: number;
  readonly message: string;
  readonly data: { readonly code: string } & JsonObject;
}

/** One JSON-RPC request of either era, written out. */
export async function ask(
  url: string,
  method: string,
  params: JsonObject,
  sent: Sent = {},
): Promise<Answered> {
  const { token, era = "modern", id = 1, session, headers = {}, signal } = sent;
  const { name } = params;
  const modern = {
    "mcp-protocol-version": "2026-07-28",
    "mcp-method": method,
    ...(typeof name === "string" && { "mcp-name": name }),
  };
  const full =
    era === "modern" ? { ...params, _meta: { ...MODERN_META, ...(params._meta as JsonObject) } } : params;
  const response = await fetch(url, {
    method: "POST",
    body: JSON.stringify({ jsonrpc: "2.0", id, method, params: full }),
    headers: {
      "content-type": "application/json",
      accept: "application/json, text/event-stream",
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
      ...(era === "modern" && modern),
      ...(session !== undefined && { "mcp-session-id": session, "mcp-protocol-version": "2025-11-25" }),
      ...headers,
    },
    ...(signal && { signal }),
  });
  const text = await response.text();
  const messages = response.headers.get("content-type")?.startsWith("text/event-stream")
    ? [...text.matchAll(/^data: (.*)$/gm)].map(([, data = ""]) => JSON.parse(data))
    : [text === "" ? {} : JSON.parse(text)];
  const body = messages.pop();
  return { status: response.status, headers: response.headers, text, body, before: messages };
}

export function callTool(
  url: string,
  name: string,
  args: JsonObject,
  sent: Sent = {},
  more: JsonObject = {},
) {
  return ask(url, "tools/call", { name, arguments: args, ...more }, sent);
}

/** Opens a legacy session and gives its id. */
export async function openSession(url: string, token: string): Promise<string> {
  const params = {
    protocolVersion: "2025-11-25",
    capabilities: {},
    clientInfo: { name: "raw", version: "1" },
  };
  const { headers, text } = await ask(url, "initialize", params, { token, era: "legacy" });
  const session = headers.get("mcp-session-id");
  if (session === null) throw new Error(`no session: ${text}`);
  return session;
}

export interface CallOptions {
  readonly onprogress?: (progress: { progress: number; total?: number | undefined }) => void;
  readonly signal?: AbortSignal;
}

/** What the stock clients of both SDKs have in common. */
export interface StockClient {
  list(): Promise<readonly string[]>;
  call(name: string, args: JsonObject, options?: CallOptions): Promise<JsonObject>;
  serverInfo(): unknown;
  close(): Promise<void>;
}

export type Connect = (url: string, token?: string) => Promise<StockClient>;

const INFO = { name: "a stock client", version: "1.0.0" };

function withToken(token: string | undefined) {
  return token === undefined ? {} : { requestInit: { headers: { authorization: `Bearer ${token}` } } };
}

export const connectV1: Connect = async (url, token) => {
  const client = new v1.Client(INFO);
  // Its declarations do not know exactOptionalPropertyTypes.
  await client.connect(new V1Transport(new URL(url), withToken(token)) as never);
  return {
    list: async () => (await client.listTools()).tools.map(({ name }) => name),
    call: (name, args, options = {}) =>
      client.callTool(
        { name, arguments: args },
        undefined,
        options as never,
      ) as unknown as Promise<JsonObject>,
    serverInfo: () => client.getServerVersion(),
    close: () => client.close(),
  };
};

function connectV2(mode: "legacy" | { pin: string }): Connect {
  return async (url, token) => {
    const client = new v2.Client(INFO, { versionNegotiation: { mode } });
    await client.connect(new v2.StreamableHTTPClientTransport(new URL(url), withToken(token)));
    return {
      list: async () => (await client.listTools()).tools.map(({ name }) => name),
      call: (name, args, options = {}) =>
        client.callTool({ name, arguments: args }, options as never) as unknown as Promise<JsonObject>,
      serverInfo: () => client.getServerVersion(),
      close: () => client.close(),
    };
  };
}

export const connectModern = connectV2({ pin: "2026-07-28" });

export const STOCK_CLIENTS: readonly (readonly [string, Connect])[] = [
  ["v1 (legacy)", connectV1],
  ["v2 (legacy)", connectV2("legacy")],
  ["v2 (modern)", connectModern],
];
