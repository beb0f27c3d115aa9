import type { Clock } from "../../lib/clock.ts";
import { type ErrorCode, PortcullisError } from "../../lib/errors.ts";
import { hasCode } from "./faults.ts";

/** Requests of one tenant at once: Vault mints one after another per database, so more would only wait there. */
const CONCURRENT = 8;
const QUEUED = 2_000;
const MAX_WAIT_MS = 60_000;
/** Faults of the whole server in a row before it is left alone, and for how long: it has to be found back within 10 s. */
const FAULTS = 3;
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 4_000;
/** What concerns every tenant. A slow answer does not: it may be one tenant's mount. */
const SHARED_FAULTS = ["vault_unreachable", "vault_sealed", "vault_standby"] as const;

/** mint: logins and secrets. manage: renewal and revocation, which a tenant's own rush must not hold up. */
export type Lane = "mint" | "manage";

export interface Guard {
  /**
   * Runs one request in the tenant's lane. While the server fails, or asked this tenant to wait, requests fail at once
   * with the code that it last failed with.
   * @throws PortcullisError `overloaded` if too many wait, or for too long
   */
  run<T>(tenant: string, lane: Lane, work: () => Promise<T>): Promise<T>;
}

/** A breaker for the server and a bulkhead for each tenant. */
export function createGuard(clock: Clock): Guard {
  const breaker = createBreaker(clock);
  const lanes = new Map<string, Semaphore>();
  /** Until when a tenant has to wait after a quota's refusal; milliseconds. */
  const paused = new Map<string, number>();

  return {
    async run(tenant, lane, work) {
      const until = paused.get(tenant) ?? 0;
      if (clock() >= until) paused.delete(tenant);
      else if (lane === "mint") throw waiting(until - clock());
      const key = `${lane} ${tenant}`;
      const semaphore = lanes.get(key) ?? createSemaphore();
      lanes.set(key, semaphore);
      await semaphore.enter(lane === "manage" ? Number.POSITIVE_INFINITY : QUEUED);
      try {
        return await breaker(work);
      } catch (thrown) {
        if (hasCode(thrown, "vault_quota"))
          paused.set(tenant, clock() + Number(thrown.data?.retry_after ?? 1) * 1000);
        throw thrown;
      } finally {
        semaphore.leave();
        if (semaphore.idle()) lanes.delete(key);
      }
    },
  };
}

function waiting(ms: number): PortcullisError {
  const seconds = Math.ceil(ms / 1000);
  return new PortcullisError("vault_quota", {
    reason: "vault asked this tenant to wait",
    data: { retry_after: seconds },
    headers: { "Retry-After": String(seconds) },
  });
}

function createBreaker(clock: Clock) {
  let faults = 0;
  let openUntil = 0;
  let pause = FIRST_PAUSE_MS;
  let last: ErrorCode = "vault_unreachable";

  return async <T>(work: () => Promise<T>): Promise<T> => {
    const open = faults >= FAULTS;
    if (open && clock() < openUntil) {
      throw new PortcullisError(last, { reason: "vault failed just now: it is left alone for a moment" });
    }
    // Whoever tries it may have to wait for a mount of one tenant's: then the next one tries.
    if (open) openUntil = clock() + FIRST_PAUSE_MS;
    try {
      const result = await work();
      closed();
      return result;
    } catch (thrown) {
      if (hasCode(thrown, ...SHARED_FAULTS)) failed(thrown.code, open);
      // A refusal is an answer; that nothing came in time is none.
      else if (!hasCode(thrown, "vault_timeout")) closed();
      throw thrown;
    }
  };

  function closed(): void {
    faults = 0;
    pause = FIRST_PAUSE_MS;
  }
  function failed(code: ErrorCode, again: boolean): void {
    faults += 1;
    last = code;
    if (again) pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
    openUntil = clock() + pause;
  }
}

interface Semaphore {
  enter(queue: number): Promise<void>;
  leave(): void;
  idle(): boolean;
}

function createSemaphore(): Semaphore {
  let running = 0;
  /** In the order of arrival. */
  const queue = new Set<() => void>();
  return {
    async enter(most) {
      if (running < CONCURRENT) {
        running += 1;
        return;
      }
      if (queue.size >= most) throw new PortcullisError("overloaded", { reason: "too many wait for vault" });
      await new Promise<void>((resolve, reject) => {
        const timer = setTimeout(() => {
          queue.delete(go);
          reject(new PortcullisError("overloaded", { reason: "waited too long for vault" }));
        }, MAX_WAIT_MS);
        const go = () => {
          clearTimeout(timer);
          resolve();
        };
        queue.add(go);
      });
    },
    leave() {
      const [next] = queue;
      if (next === undefined) {
        running -= 1;
        return;
      }
      // The place passes on: nobody overtakes.
      queue.delete(next);
      next();
    },
    idle: () => running === 0,
  };
}
