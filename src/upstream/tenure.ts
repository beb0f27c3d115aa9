import type { UpstreamRequest } from "../domain.ts";
import { dropTimer } from "../lib/timers.ts";
import type { Compartment } from "./compartment.ts";
import type { Kin, Life } from "./life.ts";
import { NO_LIMIT_MS } from "./scope.ts";

/** For how long a child lives: until it is idle, or the lease in its environment is over; and when the next one starts. */
export interface Tenure {
  /** When it was last used. */
  readonly usedAt: number;
  readonly hasExpired: boolean;
  /** A call is over. */
  used(): void;
  /** A child that has a lease in its environment ends with it. */
  lend(lease: NonNullable<UpstreamRequest["lease"]>): void;
  /** Looks again when the child may be due to end. */
  arm(): void;
  /** Whoever waits to hear of a resource does not lose that with the child. */
  startAgain(ms: number): void;
  end(): Promise<void>;
}

export interface Served {
  readonly life: Pick<Life, "isOn" | "ready" | "wait" | "end">;
  /** A call is in flight. */
  isBusy(): boolean;
  /** Someone waits to hear of a resource. */
  isWatched(): boolean;
}

export function createTenure(
  { env }: Pick<Compartment, "env">,
  { clock, timeouts }: Pick<Kin, "clock" | "timeouts">,
  { life, isBusy, isWatched }: Served,
): Tenure {
  let usedAt = clock();
  let leaseEnds = 0;
  let lent: AbortSignal | undefined;
  let ending: NodeJS.Timeout | undefined;
  let starting: NodeJS.Timeout | undefined;

  function hasExpired(): boolean {
    return env.size > 0 && clock() >= leaseEnds;
  }

  function arm(): void {
    dropTimer(ending);
    if (!life.isOn) return;
    const idle = isWatched() ? Number.POSITIVE_INFINITY : usedAt + timeouts.idleMs;
    const due = Math.min(idle, env.size > 0 ? leaseEnds : idle) - clock();
    // Past it, a call is in flight: its end is looked at as well.
    ending = setTimeout(endWhenDue, due > 0 ? Math.min(due, NO_LIMIT_MS) : timeouts.idleMs).unref();
  }

  function endWhenDue(): void {
    const isIdle = !isWatched() && clock() - usedAt >= timeouts.idleMs;
    if (isBusy() || !(isIdle || hasExpired())) arm();
    else end().catch(() => {});
  }

  async function end(): Promise<void> {
    dropTimer(ending);
    await life.end();
    startAgain(timeouts.restart.maxMs);
  }

  function startAgain(ms: number): void {
    dropTimer(starting);
    if (!isWatched() || hasExpired()) return;
    starting = setTimeout(
      () => {
        if (isWatched()) life.ready().catch(() => startAgain(timeouts.restart.maxMs));
      },
      Math.max(ms, life.wait()),
    ).unref();
  }

  function lend({ expires, ended }: NonNullable<UpstreamRequest["lease"]>): void {
    leaseEnds = ended?.aborted ? 0 : Math.max(leaseEnds, expires);
    if (env.size === 0 || ended === lent) return;
    lent = ended;
    ended?.addEventListener("abort", revoked, { once: true });
  }

  function revoked(): void {
    leaseEnds = 0;
    end().catch(() => {});
  }

  return {
    get usedAt() {
      return usedAt;
    },
    get hasExpired() {
      return hasExpired();
    },
    used() {
      usedAt = clock();
      if (hasExpired()) endWhenDue();
    },
    lend,
    arm,
    startAgain,
    end,
  };
}
