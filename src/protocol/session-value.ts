import { isJsonObject, type JsonObject, sha256 } from "../lib/json.ts";
import type { Seal } from "../lib/seal.ts";
import { isLogLevel, type LogLevel } from "./shapes.ts";

/** What a legacy client said at `initialize`, and who it was. A session is no authentication: each request is. */
export interface SessionStart {
  /** Identity of the principal that opened it: no other may use it. */
  readonly principalKey: string;
  /** The virtual server. */
  readonly server: string;
  /** The negotiated revision. */
  readonly version: string;
  readonly clientInfo: JsonObject | null;
  readonly clientCapabilities: JsonObject | null;
}

/** And what it asked for since. */
export interface SessionData extends SessionStart {
  /** The least severe log message it wants; null: it did not say. */
  readonly logLevel: LogLevel | null;
  /** Exposed URIs. */
  readonly subscriptions: readonly string[];
}

/** A session that is never idle ends after this. */
const LIFE_MS = 30 * 24 * 3600 * 1000;
const PURPOSE = "session";

/** Where a session lies. A reader of the store learns no id that it could send. */
export function sessionKey(id: string): string {
  return sha256(id);
}

export function sealSession(seal: Seal, id: string, data: SessionData, now: number): string {
  const { principalKey, server, version, clientInfo, clientCapabilities, logLevel, subscriptions } = data;
  const value = {
    id,
    principalKey,
    server,
    version,
    clientInfo,
    clientCapabilities,
    logLevel,
    subscriptions,
  };
  return seal.seal(PURPOSE, value, now + LIFE_MS);
}

/** undefined for what was not sealed for this id: a value that was moved to another key is none. */
export function openSession(seal: Seal, id: string, sealed: string, now: number): SessionData | undefined {
  const value = seal.open(PURPOSE, sealed, now);
  if (!isJsonObject(value) || value.id !== id) return undefined;
  const { principalKey, server, version, clientInfo, clientCapabilities, logLevel, subscriptions } = value;
  if (typeof principalKey !== "string" || typeof server !== "string" || typeof version !== "string")
    return undefined;
  return {
    principalKey,
    server,
    version,
    clientInfo: isJsonObject(clientInfo) ? clientInfo : null,
    clientCapabilities: isJsonObject(clientCapabilities) ? clientCapabilities : null,
    logLevel: isLogLevel(logLevel) ? logLevel : null,
    subscriptions: Array.isArray(subscriptions) ? subscriptions.map(String) : [],
  };
}
