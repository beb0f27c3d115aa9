import type { Clock } from "../lib/clock.ts";
import type { Log } from "../lib/log.ts";

/** Milliseconds. */
export interface Backoff {
  readonly firstMs: number;
  readonly maxMs: number;
}

export interface Watch {
  /** Starts watching with the first listener. Returns how to stop listening. */
  add(listener: () => void): () => void;
  notify(): void;
  close(): void;
}

/**
 * Keeps a change stream open while anyone listens. `follow` resolves when the stream ends: "unsupported" waits longest
 * before asking again, anything else is opened again with back-off; changes may have been missed in between, so
 * listeners are told after a gap.
 */
export function createWatch(
  follow: (signal: AbortSignal, onOpen: () => void) => Promise<"ended" | "unsupported">,
  { firstMs, maxMs }: Backoff,
  log: Log,
  clock: Clock,
): Watch {
  const listeners = new Set<() => void>();
  let running: AbortController | undefined;

  async function run(signal: AbortSignal): Promise<void> {
    let wait = firstMs;
    let opened = false;
    const onOpen = () => {
      if (opened) notify();
      opened = true;
    };
    while (!signal.aborted) {
      const started = clock();
      const outcome = await follow(signal, onOpen).catch((error: Error) => {
        if (!signal.aborted) log.debug({ reason: error.message }, "change stream failed");
        return "ended" as const;
      });
      await sleep(outcome === "unsupported" ? maxMs : wait, signal);
      wait = clock() - started > 2 * maxMs ? firstMs : Math.min(maxMs, wait * 2);
    }
  }

  function notify(): void {
    for (const listener of listeners) listener();
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

function sleep(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const timer = setTimeout(done, ms).unref();
    function done(): void {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    }
    signal.addEventListener("abort", done, { once: true });
  });
}
