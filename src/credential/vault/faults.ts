import { type ErrorCode, PortcullisError } from "../../lib/errors.ts";
import { isJsonObject } from "../../lib/json.ts";

export type VaultFaultCode = Extract<ErrorCode, `vault_${string}`>;

/** An answer as it came, before anything is made of it. */
export interface Wire {
  readonly statusCode: number;
  readonly body: unknown;
  /** Seconds, where the answer says when to ask again. */
  readonly retryAfter?: number;
}

/** Statuses of a server that does not lead: a redirect to the one that does, an index not yet replicated, standbys. */
const STANDBY = new Set([307, 412, 472, 473]);
const MAX_RETRY_AFTER_S = 30;

/**
 * The stable code of what Vault or OpenBao refused. Bodies are read for the 503s that only their words tell apart, and
 * never quoted: they may repeat what was sent.
 */
export function faultOf({ statusCode, body, retryAfter }: Wire): PortcullisError {
  const reason = `vault answered ${statusCode}`;
  switch (true) {
    case statusCode === 429: {
      const seconds = Math.min(Math.max(retryAfter ?? 1, 1), MAX_RETRY_AFTER_S);
      const told = { data: { retry_after: seconds }, headers: { "Retry-After": String(seconds) } };
      return new PortcullisError("vault_quota", { reason, ...told });
    }
    case statusCode === 503:
      return new PortcullisError(unavailable(body), { reason });
    case STANDBY.has(statusCode):
      return new PortcullisError("vault_standby", { reason });
    case statusCode === 403:
      return new PortcullisError("vault_denied", { reason });
    case statusCode === 400 || statusCode === 404:
      return new PortcullisError("vault_role_unknown", { reason });
    default:
      return new PortcullisError("vault_failed", { reason });
  }
}

function unavailable(body: unknown): VaultFaultCode {
  const errors = isJsonObject(body) ? JSON.stringify(body.errors) : "";
  // One tenant's own: it must not close the server to the others.
  if (/namespace (has been locked|is sealed)/.test(errors ?? "")) return "vault_tenant_locked";
  return errors?.includes("sealed") ? "vault_sealed" : "vault_standby";
}

export function hasCode(thrown: unknown, ...codes: readonly ErrorCode[]): thrown is PortcullisError {
  return thrown instanceof PortcullisError && codes.includes(thrown.code);
}

/** An answer that does not have the shape its path promises. */
export function malformed(what: string): PortcullisError {
  return new PortcullisError("vault_failed", { reason: `vault's answer has no ${what}` });
}
