import type { UpstreamAnswer, UpstreamIdentity } from "../domain.ts";
import { PortcullisError } from "../lib/errors.ts";
import type { JsonObject } from "../lib/json.ts";
import type { Ask, Connection } from "./connection.ts";
import {
  announcesToolChanges,
  type EraChoice,
  initializeParams,
  LISTEN_PARAMS,
  legacyIdentity,
  modernIdentity,
  modernMeta,
} from "./era.ts";
import { createScope } from "./scope.ts";

export interface Ready {
  readonly connection: Connection;
  readonly identity: UpstreamIdentity;
  /** The era's own `_meta` of every request. */
  readonly meta: JsonObject | null;
}

export interface HandshakeOptions {
  readonly era: EraChoice;
  readonly clientInfo: JsonObject;
  readonly connectMs: number;
  start(): Connection;
}

const PROBE_MS = 3000;
/** The longest delay of a timer: a subscription is answered when it ends. */
const NO_LIMIT_MS = 2 ** 31 - 1;

/** Starts a child and finds out which era it speaks. Rejects with `upstream_*`; the child is then closed. */
export async function shakeHands(options: HandshakeOptions): Promise<Ready> {
  const connection = options.start();
  try {
    if (options.era === "legacy") return await initialize(connection, options);
    const answer = await discover(connection, options);
    const identity = answer && modernIdentity(answer);
    if (identity !== undefined) return greetModern(connection, identity, options.clientInfo);
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
async function discover(connection: Connection, { clientInfo, connectMs }: HandshakeOptions) {
  const ask = { method: "server/discover", params: {}, meta: modernMeta(clientInfo) };
  return askWithin(connection, ask, Math.min(PROBE_MS, connectMs)).catch(() => undefined);
}

function greetModern(connection: Connection, identity: UpstreamIdentity, clientInfo: JsonObject): Ready {
  const meta = modernMeta(clientInfo);
  if (announcesToolChanges(identity)) {
    const listen = { method: "subscriptions/listen", params: LISTEN_PARAMS, meta };
    askWithin(connection, listen, NO_LIMIT_MS).catch(() => {});
  }
  return { connection, identity, meta };
}

async function initialize(
  connection: Connection,
  { clientInfo, connectMs }: HandshakeOptions,
): Promise<Ready> {
  const ask = { method: "initialize", params: initializeParams(clientInfo), meta: null };
  const identity = legacyIdentity(await askWithin(connection, ask, connectMs));
  connection.notify("notifications/initialized");
  return { connection, identity, meta: null };
}

async function askWithin(connection: Connection, ask: Ask, ms: number): Promise<UpstreamAnswer> {
  const scope = createScope(null, ms);
  try {
    return await connection.ask(ask, scope);
  } finally {
    scope.close();
  }
}
