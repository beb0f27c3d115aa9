import { performance } from "node:perf_hooks";

/** A timer that can be stopped and go on, so that a call does not time out while a person is asked something. */
export interface Deadline {
  /** Stops the clock. Returns how to let go of it: it goes on when nobody holds it any more. */
  pause(): () => void;
  clear(): void;
}

/** Calls `expire` after `ms` in which it was not paused. All pauses together last at most `pausesMs`. */
export function createDeadline(ms: number, pausesMs: number, expire: () => void): Deadline {
  let left = ms;
  let pauseLeft = pausesMs;
  let holders = 0;
  let stopped = false;
  let since = performance.now();
  let timer: NodeJS.Timeout | undefined = setTimeout(expire, ms);

  function lap(): number {
    const before = since;
    since = performance.now();
    return since - before;
  }

  function run(then: () => void, after: number): void {
    if (timer === undefined) return;
    clearTimeout(timer);
    timer = setTimeout(then, after);
  }

  function stop(): void {
    if (stopped || pauseLeft <= 0) return;
    stopped = true;
    left -= lap();
    run(proceed, pauseLeft);
  }

  function proceed(): void {
    if (!stopped) return;
    stopped = false;
    pauseLeft -= lap();
    run(expire, left);
  }

  return {
    pause() {
      let held = true;
      holders += 1;
      stop();
      return () => {
        if (held) holders -= 1;
        held = false;
        if (holders === 0) proceed();
      };
    },
    clear() {
      clearTimeout(timer);
      timer = undefined;
    },
  };
}
