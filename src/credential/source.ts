import type { Lease, Principal, Revision } from "../domain.ts";
import { PortcullisError } from "../lib/errors.ts";
import type { JsonObject } from "../lib/json.ts";

/** What a source is asked for, after configuration has permitted it. */
export interface CredentialRequest {
  /** The source's name. */
  readonly source: string;
  /** "" for none. */
  readonly role: string;
  /** Seconds, whole, at least 1: the longest that the lease may live from now, or from its renewal. */
  readonly ttl: number;
  /** Seconds: the longest that it may live in all, however often it is renewed. */
  readonly longest: number;
  readonly upstream: string;
}

/** The decision that first needs a lease. Others share it afterwards. */
export interface DecisionReference {
  readonly decisionId: string;
  readonly upstream: string;
  /** The virtual server. */
  readonly server: string;
  readonly revision: Revision;
}

/** What a source mints a lease for. */
export interface LeaseOrder extends DecisionReference {
  /** Takes what was made and is handed to nobody: it came late, or is of no use. It is ended, and on record. */
  discard(minted: MintedLease, reason: string): void;
}

/** A lease as its source gives it: what the source can do for it beyond revoking it. */
export interface MintedLease extends Omit<Lease, "revoke"> {
  /** Until when it lives at its source if nobody revokes it, in milliseconds since the epoch; default: `expires`. */
  readonly endsAt?: number;
  /** Ends it there. unsupported: its source cannot. */
  revoke(): Promise<"revoked" | "unsupported">;
  /** Lets it live on from now; null: it is gone already. What it throws shows no secret. */
  readonly renew?: () => Promise<Pick<MintedLease, "expires" | "endsAt" | "requestId"> | null>;
  /** The source's own id of the request that made it, as in its audit log. */
  readonly requestId?: string;
  /** Calls back if its source ended it early. */
  readonly onGone?: (listener: () => void) => void;
  /** Called once, when it is over however it ended: what it hung on may go. Never rejects. */
  readonly release?: () => Promise<void>;
}

/** A configured way to obtain a secret: a signer, a Vault path, token exchange, a connected account. */
export interface CredentialSource {
  /**
   * Mints a lease for this principal; it must not outlive `request.ttl` nor the principal's run.
   * What it throws shows no secret: its message may be recorded.
   */
  obtain(request: CredentialRequest, principal: Principal, order: LeaseOrder): Promise<MintedLease>;
  /** Public keys as JWKs (RFC 7517), by which upstreams check what it mints. */
  keys?(): readonly JsonObject[];
  close(): Promise<void>;
}

/**
 * When a lease that is asked for at `now` ends at the latest: its time to live, the run's end. Milliseconds since the
 * epoch.
 *
 * @throws PortcullisError `credential_refused` where the run has ended
 */
export function latestEnd({ ttl }: Pick<CredentialRequest, "ttl">, { run }: Principal, now: number): number {
  const end = Math.min(now + ttl * 1000, (run?.expires ?? Number.POSITIVE_INFINITY) * 1000);
  if (end <= now) throw new PortcullisError("credential_refused", { reason: "the run has ended" });
  return end;
}

/** What nothing outside this process can end, or needs to. */
export const endsByItself = async () => "unsupported" as const;

/** No credential: nothing is sent, nothing can be revoked. */
export const NO_LEASE: Lease = Object.freeze({
  expires: Number.POSITIVE_INFINITY,
  headers: new Map(),
  sha256: null,
  revoke: async () => {},
});

/** The source `none`: an upstream that needs no credential, yet is granted like one. */
export const noneSource: CredentialSource = {
  obtain: async () => ({ ...NO_LEASE, revoke: endsByItself }),
  close: async () => {},
};
