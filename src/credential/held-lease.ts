import type { Lease, LeaseEntry } from "../domain.ts";
import type { Clock } from "../lib/clock.ts";
import { toPortcullisError } from "../lib/errors.ts";
import type { Log } from "../lib/log.ts";
import { insist } from "./insist.ts";
import { keepAlive } from "./kept-alive.ts";
import type { MintedLease } from "./source.ts";

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
}

interface Given extends LifeParts {
  readonly scope: LeaseScope;
  /** For which it was minted. */
  readonly decision: string;
  /** No further attempts are made to revoke it. */
  isGivenUp(): boolean;
  /** Called once, when it must not be handed out any more. */
  onEnd(): void;
  /** Called once, when nothing more is to be done for it. */
  onOver(): void;
}

export function holdLease(minted: MintedLease, given: Given): HeldLease {
  const { scope, decision, clock, random, log } = given;
  const { headers, env, certificate, secrets, sha256 } = minted;
  const ended = new AbortController();
  /** Why it is ended when nobody holds it any more. */
  let retired: string | null = null;
  let ending: Promise<void> | null = null;
  const kept = keepAlive(minted, {
    clock,
    random,
    onIdle() {
      if (retired !== null) void end(retired);
    },
    onRenewed: (requestId) => void tell("renewed", "", requestId),
    onFailure: (thrown) => warn(thrown, "a lease could not be renewed"),
    onOver: (how) => (how === "gone" ? gone() : void end("expired")),
  });

  async function tell(event: LeaseEntry["event"], reason = "", requestId = ""): Promise<void> {
    if (sha256 === null) return;
    const { expires } = kept;
    const entry = { phase: "lease", event, decision, lease_sha256: sha256, expires, ...scope } as const;
    await given.onLease({ ...entry, request_id: requestId, reason });
  }

  /** Without the cause, which may show the secret. */
  function warn(thrown: unknown, what: string): string {
    const { code } = toPortcullisError(thrown);
    log.warn({ code, lease_sha256: sha256 }, what);
    return code;
  }

  /** Its source ended it: nothing is left to revoke. */
  function gone(): void {
    if (ending !== null) return;
    letGo();
    ending = over("revoked", "ended early by its source");
  }

  function end(reason: string): Promise<void> {
    if (ending !== null) return ending;
    letGo();
    ending = insist((isFirst) => revoke(reason, isFirst), given.isGivenUp);
    return ending;
  }

  function letGo(): void {
    kept.stop();
    given.onEnd();
    ended.abort();
  }

  /** Whether nothing is left of it. */
  async function revoke(reason: string, isFirst: boolean): Promise<boolean> {
    let outcome: Awaited<ReturnType<MintedLease["revoke"]>> | "expired" = "expired";
    try {
      if (clock() < kept.endsAt) outcome = await minted.revoke();
    } catch (thrown) {
      const code = warn(thrown, "a lease could not be revoked; it ends when it expires");
      if (isFirst) void tell("revocation_failed", code);
      return false;
    }
    if (outcome === "expired") await over("dropped", outcome);
    else await over(outcome === "revoked" ? "revoked" : "dropped", reason);
    return true;
  }

  async function over(event: "revoked" | "dropped", reason: string): Promise<void> {
    void tell(event, reason);
    await minted.release?.();
    given.onOver();
  }

  const lease: Lease = {
    get expires() {
      return kept.expires;
    },
    headers,
    ...(env && { env }),
    ...(certificate && { certificate }),
    ...(secrets && { secrets }),
    sha256,
    ended: ended.signal,
    hold: kept.hold,
    revoke() {
      minted.rejected?.();
      return end("not accepted");
    },
  };
  minted.onGone?.(gone);
  const recorded = tell("minted", "", minted.requestId);
  // Nobody may be waiting: for what is discarded.
  recorded.catch(() => {});

  return {
    lease,
    scope,
    recorded,
    use: () => ending === null && kept.use(),
    end,
    retire(reason) {
      if (!kept.isHeld()) void end(reason);
      else if (retired === null) {
        retired = reason;
        given.onEnd();
      }
    },
  };
}
