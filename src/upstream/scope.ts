import { performance } from "node:perf_hooks";
import type { Cancellable } from "../lib/cancellation.ts";
import { PortcullisError } from "../lib/errors.ts";
import { MAX_DELAY_MS } from "../lib/timers.ts";
import { createDeadline, type Deadline } from "./deadline.ts";

/** What ends with a scope. An object and not a function: a closure made for each call would outlive it. */
export interface Ending {
  ended(error: PortcullisError): void;
}

/** How long one request may take, and who may end it early: its caller, or the clock. */
export interface Scope {
  /** Why it has ended; undefined while it has not. */
  readonly error: PortcullisError | undefined;
  /** Told once, when the scope ends before `close`. Assigning replaces the previous one. */
  ending: Ending | undefined;
  /** The promise's outcome, or the scope's end if that comes first. */
  race<T>(promise: Promise<T>): Promise<T>;
  /** Stops the clock while the upstream waits for an answer of its client's. Returns how to let it go on. */
  pause(): () => void;
  close(): void;
}

const ONCE = { once: true } as const;
/** How long a call may wait for its client's answers, all in all. */
const PAUSES_MS = 600_000;
/** For requests that are answered when they end. */
export const NO_LIMIT_MS = MAX_DELAY_MS;

/** Ends with `cancelled` when the signal, if any, aborts and with `upstream_timeout` after `timeoutMs`. */
export function createScope(signal: Cancellable | null, timeoutMs: number): Scope {
  return new RequestScope(signal, timeoutMs);
}

/** A class, since one is made for every call and most parts are seldom used. */
class RequestScope implements Scope {
  error: PortcullisError | undefined;
  ending: Ending | undefined;
  readonly #signal: Cancellable | null;
  readonly #timeoutMs: number;
  readonly #began = performance.now();
  readonly #timer: NodeJS.Timeout;
  /** In place of the timer, from the first pause on. */
  #deadline: Deadline | undefined;
  #isClosed = false;

  constructor(signal: Cancellable | null, timeoutMs: number) {
    this.#signal = signal;
    this.#timeoutMs = timeoutMs;
    this.#timer = setTimeout(expire, timeoutMs, this);
    if (signal?.aborted) this.handleEvent();
    else signal?.addEventListener("abort", this, ONCE);
  }

  /** The signal aborted. */
  handleEvent(): void {
    this.end(new PortcullisError("cancelled"));
  }

  end(error: PortcullisError): void {
    const { ending } = this;
    this.close();
    this.error = error;
    ending?.ended(error);
  }

  race<T>(promise: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.error !== undefined) reject(this.error);
      this.ending = { ended: reject };
      promise.then(resolve, reject);
    });
  }

  pause(): () => void {
    if (this.#isClosed) return () => {};
    if (this.#deadline === undefined) {
      clearTimeout(this.#timer);
      const left = this.#timeoutMs - (performance.now() - this.#began);
      this.#deadline = createDeadline(left, PAUSES_MS, () => expire(this));
    }
    return this.#deadline.pause();
  }

  close(): void {
    this.#isClosed = true;
    this.ending = undefined;
    clearTimeout(this.#timer);
    this.#deadline?.clear();
    this.#signal?.removeEventListener("abort", this);
  }
}

function expire(scope: RequestScope): void {
  scope.end(new PortcullisError("upstream_timeout"));
}
