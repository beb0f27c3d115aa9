import { setTimeout } from "node:timers/promises";
import type { Listed } from "../domain.ts";
import type { Clock } from "../lib/clock.ts";
import type { Log } from "../lib/log.ts";

/** Milliseconds. */
export interface Backoff {
  readonly firstMs: number;
  readonly maxMs: number;
}

export interface Reopening {
  readonly backoff: Backoff;
  readonly log: Log;
  readonly clock: Clock;
}

/** What came of a stream. unsupported: to be asked for again after the longest wait; done: never again. */
export type StreamEnd = "ended" | "unsupported" | "done";

/** Opens a stream again and again, with back-off, until the signal aborts. */
export async function keepOpen(
  open: () => Promise<StreamEnd>,
  signal: AbortSignal,
  { backoff: { firstMs, maxMs }, log, clock }: Reopening,
): Promise<void> {
  let wait = firstMs;
  while (!signal.aborted) {
    const started = clock();
    const end = await open().catch((error: Error) => {
      if (!signal.aborted) log.debug({ reason: error.message }, "a stream failed");
      return "ended" as const;
    });
    if (end === "done") return;
    if (clock() - started > 2 * maxMs) wait = firstMs;
    await sleep(end === "unsupported" ? maxMs : wait, signal);
    wait = Math.min(maxMs, wait * 2);
  }
}

export interface Watch {
  /** Starts watching with the first listener. Returns how to stop listening. */
  add(listener: (what: Listed) => void): () => void;
  notify(what: Listed): void;
  close(): void;
}

/**
 * Keeps a change stream open while anyone listens. Changes may have been missed between two streams, so listeners are
 * told of all `lists` when it is open again.
 */
export function createWatch(
  follow: (signal: AbortSignal, onOpen: (lists: readonly Listed[]) => void) => Promise<StreamEnd>,
  reopening: Reopening,
): Watch {
  const listeners = new Set<(what: Listed) => void>();
  let running: AbortController | undefined;

  function run(signal: AbortSignal): Promise<void> {
    let opened = false;
    const onOpen = (lists: readonly Listed[]) => {
      if (opened) lists.forEach(notify);
      opened = true;
    };
    return keepOpen(() => follow(signal, onOpen), signal, reopening);
  }

  function notify(what: Listed): void {
    for (const listener of listeners) listener(what);
  }

  function close(): void {
    listeners.clear();
    running?.abort();
    running = undefined;
  }

  return {
    add(listener) {
      listeners.add(listener);
      if (running === undefined) {
        running = new AbortController();
        run(running.signal).catch(() => {});
      }
      return () => {
        listeners.delete(listener);
        if (listeners.size === 0) close();
      };
    },
    notify,
    close,
  };
}

/** Resolves after so many milliseconds, or when the signal aborts. */
export function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return setTimeout(ms, undefined, { ref: false, signal }).catch(() => {});
}

/** Resolves when one of the signals aborts. */
export function aborted(...signals: readonly AbortSignal[]): Promise<void> {
  return new Promise((resolve) => {
    function done(): void {
      for (const signal of signals) signal.removeEventListener("abort", done);
      resolve();
    }
    for (const signal of signals) signal.addEventListener("abort", done, { once: true });
    if (signals.some((signal) => signal.aborted)) done();
  });
}
