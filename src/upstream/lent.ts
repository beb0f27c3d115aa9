import type { Lease } from "../domain.ts";

/** What was given for the requests in each of one upstream's sessions, while it is good. */
export interface Lent {
  note(sessionKey: string, lease: Lease | undefined): void;
  of(sessionKey: string): Iterable<Lease>;
  release(sessionKey: string): void;
}

const NONE: Iterable<Lease> = [];

/** Nothing is kept of a lease that is over; one that would not say so is not kept at all. */
export function createLent(): Lent {
  const leases = new Map<string, Set<Lease>>();
  /** One listener for each lease, however many sessions share it. */
  const borrowers = new WeakMap<Lease, Set<string>>();

  function borrowersOf(lease: Lease): Set<string> {
    const known = borrowers.get(lease);
    if (known !== undefined) return known;
    const all = new Set<string>();
    borrowers.set(lease, all);
    const forget = () => {
      for (const sessionKey of all) if (leases.get(sessionKey)?.delete(lease)) prune(sessionKey);
    };
    lease.ended?.addEventListener("abort", forget, { once: true });
    return all;
  }

  function prune(sessionKey: string): void {
    if (leases.get(sessionKey)?.size === 0) leases.delete(sessionKey);
  }

  return {
    note(sessionKey, lease) {
      const own = leases.get(sessionKey);
      if (lease === undefined || own?.has(lease) || lease.ended?.aborted !== false) return;
      leases.set(sessionKey, (own ?? new Set()).add(lease));
      borrowersOf(lease).add(sessionKey);
    },
    of: (sessionKey) => leases.get(sessionKey) ?? NONE,
    release(sessionKey) {
      // A lease may serve many sessions, one after the other.
      for (const lease of leases.get(sessionKey) ?? []) borrowers.get(lease)?.delete(sessionKey);
      leases.delete(sessionKey);
    },
  };
}
