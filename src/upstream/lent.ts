import type { Lease } from "../domain.ts";

/** What the owners of one upstream's sessions were given for their requests, while it is good. */
export interface Lent {
  note(owner: string, lease: Lease | undefined): void;
  of(owner: string): Iterable<Lease>;
  release(owner: string): void;
}

const NONE: Iterable<Lease> = [];

/** Nothing is kept of a lease that is over; one that would not say so is not kept at all. */
export function createLent(): Lent {
  const leases = new Map<string, Set<Lease>>();
  /** One listener for each lease, however many owners share it. */
  const owners = new WeakMap<Lease, Set<string>>();

  function ownersOf(lease: Lease): Set<string> {
    const known = owners.get(lease);
    if (known !== undefined) return known;
    const all = new Set<string>();
    owners.set(lease, all);
    const forget = () => {
      for (const owner of all) if (leases.get(owner)?.delete(lease)) prune(owner);
    };
    lease.ended?.addEventListener("abort", forget, { once: true });
    return all;
  }

  function prune(owner: string): void {
    if (leases.get(owner)?.size === 0) leases.delete(owner);
  }

  return {
    note(owner, lease) {
      const own = leases.get(owner);
      if (lease === undefined || own?.has(lease) || lease.ended?.aborted !== false) return;
      leases.set(owner, (own ?? new Set()).add(lease));
      ownersOf(lease).add(owner);
    },
    of: (owner) => leases.get(owner) ?? NONE,
    release(owner) {
      // A lease may serve many sessions, one after the other.
      for (const lease of leases.get(owner) ?? []) owners.get(lease)?.delete(owner);
      leases.delete(owner);
    },
  };
}
