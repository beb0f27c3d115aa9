import type { Clock } from "../lib/clock.ts";
import { PortcullisError } from "../lib/errors.ts";
import type { Backoff } from "./watch.ts";

export interface Restart {
  began(): void;
  failed(): void;
  /** Throws `upstream_unavailable` while it is too early to start again. */
  check(): void;
  /** Milliseconds until it is not; 0 when it may start now. */
  wait(): number;
  /** Nothing is remembered that would make a start wait. */
  readonly isCalm: boolean;
}

/** Keeps a child that crashes again and again from being started in a loop: the first restart is immediate. */
export function createRestart({ firstMs, maxMs }: Backoff, clock: Clock): Restart {
  let failures = 0;
  let notBefore = 0;
  let started = clock();

  function wait(): number {
    return Math.max(0, notBefore - clock());
  }

  /** It has crashed before, yet long ago. */
  function isOver(): boolean {
    return clock() - started > maxMs;
  }

  return {
    began() {
      started = clock();
    },
    failed() {
      if (isOver()) failures = 0;
      notBefore = failures === 0 ? 0 : clock() + Math.min(maxMs, firstMs * 2 ** (failures - 1));
      failures += 1;
    },
    check() {
      if (wait() === 0) return;
      throw new PortcullisError("upstream_unavailable", {
        reason: "it crashed: waiting before it is started again",
      });
    },
    wait,
    get isCalm() {
      return failures === 0 || (isOver() && wait() === 0);
    },
  };
}
