import type { Lease, Principal, Revision } from "../domain.ts";
import type { JsonObject } from "../lib/json.ts";

/** What a source is asked for, after configuration has permitted it. */
export interface CredentialRequest {
  /** The source's name. */
  readonly source: string;
  /** "" for none. */
  readonly role: string;
  /** Seconds, whole, at least 1: the longest that the lease may live. */
  readonly ttl: number;
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

/** A configured way to obtain a secret: a signer, a Vault path, token exchange, a connected account. */
export interface CredentialSource {
  /**
   * Mints a lease for this principal; it must not outlive `request.ttl` nor the principal's run.
   * What it throws shows no secret: its message may be recorded.
   */
  obtain(request: CredentialRequest, principal: Principal, decision: DecisionReference): Promise<Lease>;
  /** Public keys as JWKs (RFC 7517), by which upstreams check what it mints. */
  keys?(): readonly JsonObject[];
  close(): Promise<void>;
}

/** No credential: nothing is sent, nothing can be revoked. */
export const NO_LEASE: Lease = Object.freeze({
  expires: Number.POSITIVE_INFINITY,
  headers: new Map(),
  sha256: null,
  revoke: async () => {},
});

/** The source `none`: an upstream that needs no credential, yet is granted like one. */
export const noneSource: CredentialSource = {
  obtain: async () => NO_LEASE,
  close: async () => {},
};
