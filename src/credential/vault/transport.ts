import { Pool } from "undici";
import { PortcullisError } from "../../lib/errors.ts";
import type { Wire } from "./faults.ts";

/** What node-vault asks of its transport. */
export interface WireRequest {
  readonly uri: string;
  readonly method: string;
  readonly json?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
}

export interface Transport {
  /**
   * Follows no redirect (it would carry the token along) and heeds no proxy variable.
   * @throws PortcullisError `vault_timeout`, `vault_unreachable`, or `vault_failed`, each without a cause: undici's and
   *   node-vault's errors show the request, and with it the token
   */
  send(request: WireRequest): Promise<Wire>;
  close(): Promise<void>;
}

/** Tenants have lanes of their own (`guard.ts`); this only bounds what all of them together may open. */
const CONNECTIONS = 256;
const MAX_RESPONSE = 1 << 20;
const CONNECT_MS = 5_000;

export function createTransport(origin: string, ca: string | null): Transport {
  const pool = new Pool(origin, {
    connections: CONNECTIONS,
    maxResponseSize: MAX_RESPONSE,
    connect: { timeout: CONNECT_MS, ...(ca !== null && { ca }) },
    headersTimeout: 0,
    bodyTimeout: 0,
  });
  return {
    async send({ uri, method, json, headers, timeoutMs }) {
      const path = pathOf(uri, origin);
      try {
        const {
          statusCode,
          headers: received,
          body,
        } = await pool.request({
          path,
          method: method as "GET",
          headers: { "content-type": "application/json", "x-vault-request": "true", ...headers },
          ...(json !== undefined && { body: JSON.stringify(json) }),
          signal: AbortSignal.timeout(timeoutMs),
        });
        const retryAfter = Number(received["retry-after"] ?? Number.NaN);
        const text = await body.text();
        return { statusCode, body: parsed(text), ...(Number.isFinite(retryAfter) && { retryAfter }) };
      } catch (thrown) {
        throw sanitised(thrown);
      }
    },
    close: () => pool.destroy(),
  };
}

/** A path that a URL parser reads otherwise than it was written (`..`, encoded slashes) reaches another one in Vault. */
function pathOf(uri: string, origin: string): string {
  const url = new URL(uri);
  if (url.origin !== origin || url.href !== uri) {
    throw new PortcullisError("vault_failed", { reason: "a path for vault is not in its plain form" });
  }
  return url.pathname + url.search;
}

function parsed(text: string): unknown {
  if (text === "") return null;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function sanitised(thrown: unknown): PortcullisError {
  const { name = "", code = "" } = (thrown ?? {}) as { readonly name?: string; readonly code?: string };
  if (/Timeout|Abort/.test(name) && code !== "UND_ERR_CONNECT_TIMEOUT")
    return new PortcullisError("vault_timeout");
  if (code === "UND_ERR_RES_EXCEEDED_MAX_SIZE") {
    return new PortcullisError("vault_failed", { reason: "vault's answer is too large" });
  }
  return new PortcullisError("vault_unreachable", {
    reason: /^[A-Z_]{1,40}$/.test(String(code)) ? String(code) : name,
  });
}
