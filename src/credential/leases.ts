import type { Lease, LeaseEntry } from "../domain.ts";
import { PortcullisError } from "../lib/errors.ts";
import { patiently } from "../lib/patience.ts";
import { createFairCache } from "./fair-cache.ts";
import { type HeldLease, holdLease, type LeaseScope, type LifeParts } from "./held-lease.ts";
import type { LeaseOrder, MintedLease } from "./source.ts";

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

/** Obtains a lease from its source. */
export type Mint = (discard: LeaseOrder["discard"]) => Promise<MintedLease>;

export interface LeaseCache {
  /**
   * The lease held under this key, or a new one. Requests that arrive while it is being minted share it; a failure
   * is told to all of them and not kept; a foreign one as `credential_unavailable`. Revoking a lease, which never
   * rejects, also drops it here.
   */
  obtain(ask: LeaseAsk, mint: Mint): Promise<Lease>;
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
  /** It is among those that are alive: only its record is waited for. */
  arrived: boolean;
  /** Why it is revoked as soon as it arrives. */
  cancelled: string | null;
  /** Why it is handed to those who wait for it, and to nobody else. */
  retired: string | null;
}

const NEVER = new Promise<never>(() => {});

/** A foreign error may carry the secret, or the request that asked for it: only its class is kept. */
function faultOf(thrown: unknown): PortcullisError {
  if (thrown instanceof PortcullisError) return thrown;
  const kind = thrown instanceof Error ? thrown.name : typeof thrown;
  return new PortcullisError("credential_unavailable", { reason: `the credential source failed: ${kind}` });
}

export interface LeaseCacheOptions extends LifeParts {
  readonly capacity: number;
  /** Why what was asked for under this scope is to serve who waits for it, and nobody else; null: it holds. */
  outdated(scope: LeaseScope): string | null;
}

/** Holds leases for the rest of their life, at most `capacity`; what makes room is handed out no more. */
export function createLeaseCache(options: LeaseCacheOptions): LeaseCache {
  /** What may be handed out. */
  const held = createFairCache<HeldLease>(options.capacity);
  /** What is not over yet, also what is being revoked. */
  const alive = new Set<HeldLease>();
  const minting = new Map<string, Minting>();
  let closed = false;
  let givenUp = false;

  function find({ tenant, key }: LeaseAsk): Lease | null {
    const found = held.find(tenant, key);
    if (found === undefined) return null;
    if (found.use()) return found.lease;
    held.drop(tenant, key, found);
    return null;
  }

  function hold({ tenant, key, decision }: LeaseAsk, scope: LeaseScope, minted: MintedLease): HeldLease {
    const one: HeldLease = holdLease(minted, {
      ...options,
      scope,
      decision,
      isGivenUp: () => givenUp,
      onEnd: () => held.drop(tenant, key, one),
      onOver: () => void alive.delete(one),
    });
    alive.add(one);
    return one;
  }

  /** An answer that was lost tells nothing: the source may have made it all the same. */
  function tellFailure({ decision }: LeaseAsk, scope: LeaseScope, { code }: PortcullisError): void {
    const none = { lease_sha256: "", expires: 0, request_id: "" };
    const entry: LeaseEntry = {
      phase: "lease",
      event: "mint_failed",
      decision,
      ...none,
      ...scope,
      reason: code,
    };
    void options.onLease(entry);
  }

  async function minted(ask: LeaseAsk, scope: LeaseScope, mint: Mint): Promise<HeldLease> {
    try {
      return hold(ask, scope, await mint((late, reason) => void hold(ask, scope, late).end(reason)));
    } catch (thrown) {
      const fault = faultOf(thrown);
      tellFailure(ask, scope, fault);
      throw fault;
    }
  }

  async function arrival(ask: LeaseAsk, pending: Minting, mint: Mint): Promise<Lease> {
    const one = await minted(ask, pending.scope, mint);
    pending.arrived = true;
    const unrecorded = await one.recorded.then(() => null, faultOf);
    const ended = unrecorded === null ? pending.cancelled : "its minting could not be recorded";
    // Nobody would revoke it later.
    if (ended !== null) await one.end(ended);
    if (unrecorded !== null) throw unrecorded;
    if (ended !== null) throw cancelledBy(ended);
    // Policies may have changed between the decision and this.
    const retired = pending.retired ?? options.outdated(pending.scope);
    // Who waits for it takes hold of it first.
    if (retired !== null) setImmediate(() => one.retire(retired));
    else held.put(ask.tenant, ask.key, one)?.retire("no more room");
    return one.lease;
  }

  function cancelledBy(why: string): PortcullisError {
    if (closed) return new PortcullisError("shutting_down");
    return new PortcullisError("credential_refused", { reason: `revoked while it was minted: ${why}` });
  }

  function mintFor(ask: LeaseAsk, mint: Mint): Promise<Lease> {
    const none = { promise: NEVER, arrived: false, cancelled: null, retired: null };
    const pending: Minting = { scope: ask.scope(), ...none };
    minting.set(ask.key, pending);
    pending.promise = arrival(ask, pending, mint).finally(() => minting.delete(ask.key));
    return pending.promise;
  }

  async function revokeWhere(matches: (scope: LeaseScope) => boolean, reason: string): Promise<number> {
    const found = [...alive].filter((one) => matches(one.scope));
    const coming = [...minting.values()].filter((one) => matches(one.scope));
    const count = found.length + coming.filter(({ arrived }) => !arrived).length;
    for (const one of coming) one.cancelled ??= reason;
    await Promise.allSettled([
      ...found.map((one) => one.end(reason)),
      ...coming.map(({ promise }) => promise),
    ]);
    return count;
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
      givenUp = true;
    },
  };
}
