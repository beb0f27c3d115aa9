import type { Lease } from "../domain.ts";
import type { Clock } from "../lib/clock.ts";
import { PortcullisError } from "../lib/errors.ts";
import type { Log } from "../lib/log.ts";

/** A lease is not handed out in its last 5 s, or last fifth if it lives shorter: a call takes time. */
const MARGIN_MS = 5_000;
const MARGIN_SHARE = 5;

interface Held {
  readonly lease: Lease;
  /** Milliseconds since the epoch. */
  readonly usableUntil: number;
}

export interface LeaseCache {
  /**
   * The lease held under this key, or a new one. Requests that arrive while it is being minted share it; a failure
   * is told to all of them and not kept; a foreign one as `credential_unavailable`. Revoking a lease also drops it here.
   */
  obtain(key: string, mint: () => Promise<Lease>): Promise<Lease>;
  /** Revokes every lease, also those still being minted. */
  close(): Promise<void>;
}

/** A foreign error may carry the secret, or the request that asked for it: only its class is kept. */
function failed(error: unknown): never {
  if (error instanceof PortcullisError) throw error;
  const kind = error instanceof Error ? error.name : typeof error;
  throw new PortcullisError("credential_unavailable", { reason: `the credential source failed: ${kind}` });
}

/** Holds leases for the rest of their life, at most `capacity`; the one unused for longest is revoked to make room. */
export function createLeaseCache(options: {
  readonly clock: Clock;
  readonly log: Log;
  readonly capacity: number;
}): LeaseCache {
  const { clock, log, capacity } = options;
  /** In the order of use: a Map keeps the order of insertion. */
  const held = new Map<string, Held>();
  const minting = new Map<string, Promise<Lease>>();
  let closed = false;

  function find(key: string): Lease | null {
    const found = held.get(key);
    if (found === undefined) return null;
    held.delete(key);
    if (clock() >= found.usableUntil) return null;
    held.set(key, found);
    return found.lease;
  }

  async function revoke(lease: Lease): Promise<void> {
    try {
      await lease.revoke();
    } catch {
      // Its cause may show the secret.
      log.warn({ lease_sha256: lease.sha256 }, "a lease could not be revoked; it ends when it expires");
    }
  }

  /** The same lease; once revoked it is not handed out again. */
  function owned(key: string, minted: Lease): Lease {
    const { expires, headers, sha256 } = minted;
    const lease: Lease = {
      expires,
      headers,
      sha256,
      revoke() {
        if (held.get(key)?.lease === lease) held.delete(key);
        return minted.revoke();
      },
    };
    return lease;
  }

  function keep(key: string, lease: Lease): void {
    const now = clock();
    held.set(key, {
      lease,
      usableUntil: lease.expires - Math.min(MARGIN_MS, (lease.expires - now) / MARGIN_SHARE),
    });
    const [oldest] = held;
    if (held.size <= capacity || oldest === undefined) return;
    held.delete(oldest[0]);
    if (now < oldest[1].lease.expires) void revoke(oldest[1].lease);
  }

  async function mintFor(key: string, mint: () => Promise<Lease>): Promise<Lease> {
    const lease = owned(key, await mint().catch(failed));
    if (closed) {
      // Nobody would revoke it later.
      await revoke(lease);
      throw new PortcullisError("shutting_down");
    }
    keep(key, lease);
    return lease;
  }

  return {
    async obtain(key, mint) {
      if (closed) throw new PortcullisError("shutting_down");
      const lease = find(key);
      if (lease !== null) return lease;
      let pending = minting.get(key);
      if (pending === undefined) {
        pending = mintFor(key, mint).finally(() => minting.delete(key));
        minting.set(key, pending);
      }
      return pending;
    },
    async close() {
      closed = true;
      const leases = [...held.values()].map(({ lease }) => revoke(lease));
      await Promise.allSettled([...leases, ...minting.values()]);
    },
  };
}
