import type { Lease } from "../domain.ts";
import { PortcullisError } from "../lib/errors.ts";
import { type HeldLease, holdLease, type LeaseScope, type LifeParts } from "./held-lease.ts";
import { patiently } from "./patience.ts";
import { createPlaces } from "./places.ts";
import type { MintedLease } from "./source.ts";

/** How long `close` waits for revocations; what is left then ends when it expires. */
const CLOSE_MS = 10_000;

/** What a lease is asked for. */
export interface LeaseAsk {
  readonly tenant: string;
  /** Equal for askers who may share it, and for nobody else. */
  readonly key: string;
  readonly scope: () => LeaseScope;
  readonly decision: string;
}

export interface LeaseCache {
  /**
   * The lease held under this key, or a new one. Requests that arrive while it is being minted share it; a failure
   * is told to all of them and not kept; a foreign one as `credential_unavailable`. Revoking a lease, which never
   * rejects, also drops it here.
   */
  obtain(ask: LeaseAsk, mint: () => Promise<MintedLease>): Promise<Lease>;
  /**
   * Revokes what matches, also what is still being minted; whoever waits for that gets `credential_refused`. Resolves
   * with how many there were, after one attempt on each.
   */
  revokeWhere(matches: (scope: LeaseScope) => boolean, reason: string): Promise<number>;
  /** Hands out what matches no more: revoked at once, or when the calls that work with it are done. */
  retireWhere(matches: (scope: LeaseScope) => boolean, reason: string): void;
  /** Revokes every lease, also those still being minted; waits for at most 10 s. */
  close(): Promise<void>;
}

interface Minting {
  readonly scope: LeaseScope;
  promise: Promise<Lease>;
  /** Why it is revoked as soon as it arrives. */
  cancelled: string | null;
  /** Why it is handed to those who wait for it, and to nobody else. */
  retired: string | null;
}

const NEVER = new Promise<never>(() => {});

/** A foreign error may carry the secret, or the request that asked for it: only its class is kept. */
function failed(error: unknown): never {
  if (error instanceof PortcullisError) throw error;
  const kind = error instanceof Error ? error.name : typeof error;
  throw new PortcullisError("credential_unavailable", { reason: `the credential source failed: ${kind}` });
}

/** Holds leases for the rest of their life, at most `capacity`; what makes room is handed out no more. */
export function createLeaseCache(options: LifeParts & { readonly capacity: number }): LeaseCache {
  /** What may be handed out. */
  const held = createPlaces<HeldLease>(options.capacity);
  /** What is not over yet, also what is being revoked. */
  const alive = new Set<HeldLease>();
  const minting = new Map<string, Minting>();
  let closed = false;

  function find({ tenant, key }: LeaseAsk): Lease | null {
    const found = held.find(tenant, key);
    if (found === undefined) return null;
    if (found.use()) return found.lease;
    held.leave(tenant, key, found);
    return null;
  }

  function hold({ tenant, key, decision }: LeaseAsk, scope: LeaseScope, minted: MintedLease): HeldLease {
    const one: HeldLease = holdLease(minted, {
      ...options,
      scope,
      decision,
      onEnd: () => held.leave(tenant, key, one),
      onOver: () => void alive.delete(one),
    });
    alive.add(one);
    held.put(tenant, key, one)?.retire("no more room");
    return one;
  }

  async function arrival(ask: LeaseAsk, pending: Minting, mint: () => Promise<MintedLease>): Promise<Lease> {
    const one = hold(ask, pending.scope, await mint().catch(failed));
    const { cancelled, retired } = pending;
    // Who waits for it takes hold of it first.
    if (retired !== null && cancelled === null) setImmediate(() => one.retire(retired));
    if (cancelled === null) return one.lease;
    // Nobody would revoke it later.
    await one.end(cancelled);
    if (closed) throw new PortcullisError("shutting_down");
    const reason = `revoked while it was minted: ${cancelled}`;
    throw new PortcullisError("credential_refused", { reason });
  }

  function mintFor(ask: LeaseAsk, mint: () => Promise<MintedLease>): Promise<Lease> {
    const pending: Minting = { scope: ask.scope(), promise: NEVER, cancelled: null, retired: null };
    minting.set(ask.key, pending);
    pending.promise = arrival(ask, pending, async () => mint()).finally(() => minting.delete(ask.key));
    return pending.promise;
  }

  async function revokeWhere(matches: (scope: LeaseScope) => boolean, reason: string): Promise<number> {
    const found = [...alive].filter((one) => matches(one.scope));
    const coming = [...minting.values()].filter((one) => matches(one.scope));
    for (const one of coming) one.cancelled ??= reason;
    await Promise.allSettled([
      ...found.map((one) => one.end(reason)),
      ...coming.map(({ promise }) => promise),
    ]);
    return found.length + coming.length;
  }

  return {
    async obtain(ask, mint) {
      if (closed) throw new PortcullisError("shutting_down");
      const lease = find(ask);
      if (lease !== null) return lease;
      return minting.get(ask.key)?.promise ?? mintFor(ask, mint);
    },
    revokeWhere,
    retireWhere(matches, reason) {
      for (const one of [...held.all()]) if (matches(one.scope)) one.retire(reason);
      for (const one of minting.values()) if (matches(one.scope)) one.retired ??= reason;
    },
    async close() {
      closed = true;
      await patiently(
        revokeWhere(() => true, "the gateway shuts down"),
        CLOSE_MS,
      );
      for (const one of alive) one.abandon();
    },
  };
}
