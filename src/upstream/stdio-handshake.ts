import type { UpstreamAnswer, UpstreamIdentity, UpstreamRequest } from "../domain.ts";
import { PortcullisError } from "../lib/errors.ts";
import type { JsonObject } from "../lib/json.ts";
import type { Ask } from "./asks.ts";
import type { Connection } from "./connection.ts";
import {
  announcedLists,
  type EraChoice,
  initializeParams,
  legacyIdentity,
  listenParams,
  modernIdentity,
  modernMeta,
} from "./era.ts";
import { createScope, NO_LIMIT_MS } from "./scope.ts";

export interface Ready {
  readonly connection: Connection;
  readonly identity: UpstreamIdentity;
  /** The era's own `_meta` of a request. */
  metaOf(asked: Partial<Pick<UpstreamRequest, "clientInfo" | "logLevel">>): JsonObject | null;
}

export interface HandshakeOptions {
  readonly era: EraChoice;
  /** Who the client is, where a request does not say. */
  readonly clientInfo: JsonObject;
  /** What the client can. */
  readonly capabilities: JsonObject;
  readonly connectMs: number;
  start(): Promise<Connection>;
}

/** Starts a child and finds out which era it speaks. Rejects with `upstream_*`; the child is then closed. */
export async function shakeHands(options: HandshakeOptions): Promise<Ready> {
  const connection = await options.start();
  try {
    if (options.era === "legacy") return await initialize(connection, options);
    const answer = await discover(connection, options);
    const identity = answer && modernIdentity(answer);
    if (identity !== undefined) return greetModern(connection, identity, options);
    if (options.era === "modern") {
      throw new PortcullisError("upstream_protocol", { reason: "it does not speak MCP 2026-07-28" });
    }
    if (answer !== undefined) return await initialize(connection, options);
  } catch (error) {
    await connection.close();
    throw error;
  }
  // Some servers end, or say nothing, at any request before `initialize`: a fresh child gets that first.
  await connection.close();
  return shakeHands({ ...options, era: "legacy" });
}

/** Undefined: no answer at all. */
async function discover(
  connection: Connection,
  { clientInfo, capabilities, connectMs }: HandshakeOptions,
): Promise<UpstreamAnswer | undefined> {
  const ask = { method: "server/discover", params: {} };
  const meta = modernMeta(clientInfo, capabilities);
  return askWithin(connection, ask, connectMs / 2, meta).catch(() => undefined);
}

function greetModern(connection: Connection, identity: UpstreamIdentity, options: HandshakeOptions): Ready {
  const { clientInfo: own, capabilities } = options;
  const metaOf: Ready["metaOf"] = ({ clientInfo, logLevel }) =>
    modernMeta(clientInfo ?? own, capabilities, logLevel);
  const lists = announcedLists(identity);
  if (lists.length > 0) {
    const listen = { method: "subscriptions/listen", params: listenParams(lists, []) };
    askWithin(connection, listen, NO_LIMIT_MS, metaOf({})).catch(() => {});
  }
  return { connection, identity, metaOf };
}

async function initialize(connection: Connection, options: HandshakeOptions): Promise<Ready> {
  const { clientInfo, capabilities, connectMs } = options;
  const ask = { method: "initialize", params: initializeParams(clientInfo, capabilities) };
  const identity = legacyIdentity(await askWithin(connection, ask, connectMs));
  connection.notify("notifications/initialized");
  return { connection, identity, metaOf: () => null };
}

/** Rejects with `upstream_timeout` after `ms`. */
export async function askWithin(
  connection: Connection,
  ask: Ask,
  ms: number,
  meta: JsonObject | null = null,
): Promise<UpstreamAnswer> {
  const scope = createScope(null, ms);
  try {
    return await connection.ask(ask, scope, meta);
  } finally {
    scope.close();
  }
}
