import type { Lease, LeaseEntry } from "../domain.ts";
import type { Clock } from "../lib/clock.ts";
import { toPortcullisError } from "../lib/errors.ts";
import type { Log } from "../lib/log.ts";
import { dropTimer, MAX_DELAY_MS } from "../lib/timers.ts";
import type { MintedLease } from "./source.ts";

/** A lease is not handed out in its last 5 s, or last fifth if it lives shorter: a call takes time. */
const MARGIN_MS = 5_000;
const MARGIN_SHARE = 5;
/** Renewed when this much of its life is over, or a little earlier, so that not all are renewed at once. */
const RENEW_AT = 2 / 3;
const JITTER = 1 / 10;
/** A source that is back within seconds is asked within seconds; one that stays away is not overrun. */
const RETRY_MS = [1_000, 2_000, 4_000, 5_000, 5_000, 5_000, 10_000, 30_000, 60_000];

/** Whose lease it is, of what, and under which policy. */
export type LeaseScope = Pick<
  LeaseEntry,
  "tenant" | "issuer" | "subject" | "run" | "source" | "role" | "upstream" | "server" | "revision"
>;

export interface LifeParts {
  readonly clock: Clock;
  /** 0 to 1. */
  readonly random: () => number;
  readonly log: Log;
  /** Of a mint it is waited for, before the lease is handed out. */
  onLease(entry: LeaseEntry): void | Promise<void>;
}

/** One lease in the gateway's hands, from its minting to its end. */
export interface HeldLease {
  readonly lease: Lease;
  readonly scope: LeaseScope;
  /** Resolves when its minting is on record; rejects where that cannot be. */
  readonly recorded: Promise<void>;
  /** Whether it may be handed out now; that it was is what it is renewed for. */
  use(): boolean;
  /** Lets go of it and revokes it at its source, again and again until it is gone. Resolves after the first attempt. */
  end(reason: string): Promise<void>;
  /** Lets go of it; it is revoked when the last call that works with it is done. */
  retire(reason: string): void;
  /** No further attempts. */
  abandon(): void;
}

interface Given extends LifeParts {
  readonly scope: LeaseScope;
  /** For which it was minted. */
  readonly decision: string;
  /** Called once, when it must not be handed out any more. */
  onEnd(): void;
  /** Called once, when nothing more is to be done for it. */
  onOver(): void;
}

export function holdLease(minted: MintedLease, given: Given): HeldLease {
  const { scope, decision, clock, random, log } = given;
  const { headers, env, certificate, secrets, sha256 } = minted;
  let { expires, endsAt } = minted;
  let usableUntil = 0;
  let renewAt = 0;
  /** Handed out since it was last renewed. */
  let used = true;
  /** Calls and children that still work with it. */
  let holders = 0;
  let renewing = false;
  /** Why it is ended when nobody holds it any more. */
  let retired: string | null = null;
  let ending: Promise<void> | null = null;
  let timer: NodeJS.Timeout | undefined;
  const ended = new AbortController();

  async function tell(event: LeaseEntry["event"], reason = "", requestId = ""): Promise<void> {
    if (sha256 === null) return;
    const entry = { phase: "lease", event, decision, lease_sha256: sha256, expires, ...scope } as const;
    await given.onLease({ ...entry, request_id: requestId, reason });
  }

  function live(): void {
    const life = expires - clock();
    usableUntil = expires - Math.min(MARGIN_MS, life / MARGIN_SHARE);
    renewAt = minted.renew === undefined ? Infinity : clock() + life * (RENEW_AT - random() * JITTER);
    wake();
  }

  /** Sleeps until the next thing to do: to renew it while it is in use, to let go of it when it is over. */
  function wake(): void {
    dropTimer(timer);
    if (expires === Number.POSITIVE_INFINITY) return;
    const due = (used || holders > 0) && renewAt < expires ? renewAt : expires;
    timer = setTimeout(tick, Math.min(Math.max(due - clock(), 1), MAX_DELAY_MS)).unref();
  }

  function tick(): void {
    if (ending !== null) return;
    if (clock() >= expires) void end("expired");
    else renewIfDue();
  }

  function renewIfDue(): void {
    if (clock() >= renewAt && !renewing && (used || holders > 0)) void renew();
    else if (!renewing) wake();
  }

  async function renew(): Promise<void> {
    renewing = true;
    const before = expires;
    try {
      const renewed = await minted.renew?.();
      if (ending !== null) return;
      if (!renewed) return gone();
      ({ expires, endsAt } = renewed);
      used = false;
      void tell("renewed", "", renewed.requestId);
      live();
      // It has come to its longest life: another takes its place.
      if (expires <= before) renewAt = Infinity;
    } catch (thrown) {
      if (ending !== null) return;
      const { code } = toPortcullisError(thrown);
      log.warn({ code, lease_sha256: sha256 }, "a lease could not be renewed");
      renewAt = clock() + Math.max(500, (expires - clock()) / 4);
      wake();
    } finally {
      renewing = false;
    }
  }

  /** Its source ended it: nothing is left to revoke. */
  function gone(): void {
    if (ending !== null) return;
    letGo();
    ending = over("revoked", "ended early by its source");
  }

  async function over(event: "revoked" | "dropped", reason: string): Promise<void> {
    void tell(event, reason);
    await minted.release?.();
    given.onOver();
  }

  function letGo(): void {
    dropTimer(timer);
    given.onEnd();
    ended.abort();
  }

  function end(reason: string): Promise<void> {
    if (ending !== null) return ending;
    letGo();
    ending = revoke(reason, 0);
    return ending;
  }

  async function revoke(reason: string, attempt: number): Promise<void> {
    if (clock() >= (endsAt ?? expires)) return over("dropped", "expired");
    let outcome: Awaited<ReturnType<MintedLease["revoke"]>>;
    try {
      outcome = await minted.revoke();
    } catch (thrown) {
      // Its cause may show the secret.
      const { code } = toPortcullisError(thrown);
      log.warn({ code, lease_sha256: sha256 }, "a lease could not be revoked; it ends when it expires");
      if (attempt === 0) void tell("revocation_failed", code);
      const wait = RETRY_MS[Math.min(attempt, RETRY_MS.length - 1)] ?? 0;
      timer = setTimeout(() => void revoke(reason, attempt + 1), wait).unref();
      return;
    }
    return over(outcome === "revoked" ? "revoked" : "dropped", reason);
  }

  const lease: Lease = {
    get expires() {
      return expires;
    },
    headers,
    ...(env && { env }),
    ...(certificate && { certificate }),
    ...(secrets && { secrets }),
    sha256,
    ended: ended.signal,
    hold() {
      holders += 1;
      if (holders === 1 && !used && ending === null) renewIfDue();
      let held = true;
      return () => {
        if (held) holders -= 1;
        held = false;
        if (holders === 0 && retired !== null) void end(retired);
      };
    },
    revoke() {
      minted.rejected?.();
      return end("not accepted");
    },
  };
  minted.onGone?.(gone);
  const recorded = tell("minted", "", minted.requestId);
  // Nobody may be waiting: for what is discarded.
  recorded.catch(() => {});
  live();

  return {
    lease,
    scope,
    recorded,
    use() {
      if (ending !== null || clock() >= usableUntil) return false;
      if (!used) {
        used = true;
        renewIfDue();
      }
      return true;
    },
    end,
    retire(reason) {
      if (holders === 0) void end(reason);
      else if (retired === null) {
        retired = reason;
        given.onEnd();
      }
    },
    abandon: () => dropTimer(timer),
  };
}
