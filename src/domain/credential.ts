import type { Secret } from "../lib/secret.ts";

/** A client certificate with its key, for mutual TLS; PEM. */
export interface ClientCertificate {
  readonly certificate: string;
  readonly key: Secret;
}

/** A secret in use. It travels in request headers, in the environment of a child of its own, or as a certificate. */
export interface Lease {
  /** Milliseconds since the epoch. */
  readonly expires: number;
  readonly headers: ReadonlyMap<string, Secret>;
  readonly env?: ReadonlyMap<string, Secret>;
  readonly certificate?: ClientCertificate;
  /** What of it must never come back in an answer, beside what headers carry; absent: all of the environment. */
  readonly secrets?: readonly Secret[];
  /** SHA-256 of the secret or lease id, for records; null for no credential. */
  readonly sha256: string | null;
  /** It is in use, and renewed meanwhile, until the returned function is called. Absent: it cannot be renewed. */
  hold?(): () => void;
  /** Aborts when it is revoked or over: whoever was given it for longer than one request ends. */
  readonly ended?: AbortSignal;
  /** The upstream did not accept it: what its source shares between leases is handed out no more. */
  rejected?(): void;
  revoke(): Promise<void>;
}
