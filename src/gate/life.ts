import type { Identity } from "../domain.ts";
import type { Cancellable } from "../lib/cancellation.ts";
import { dropTimer, MAX_DELAY_MS } from "../lib/timers.ts";
import type { Rooms } from "./rooms.ts";

/** How long a stream may go on: no longer than the token that opened it, nor than its exchange. */
export interface Life {
  readonly signal: AbortSignal;
  /** Resolves when it is over. */
  readonly over: Promise<void>;
  end(): void;
}

export function beginLife(
  { expires }: Identity,
  { clock }: Pick<Rooms, "clock">,
  exchange: Cancellable,
): Life {
  const ending = new AbortController();
  const { signal } = ending;
  const end = () => ending.abort();
  const expiry = setTimeout(end, Math.min(MAX_DELAY_MS, Math.max(0, expires * 1000 - clock()))).unref();
  exchange.addEventListener("abort", end, { once: true });
  const over = new Promise<void>((resolve) => {
    signal.addEventListener(
      "abort",
      () => {
        dropTimer(expiry);
        exchange.removeEventListener("abort", end);
        resolve();
      },
      { once: true },
    );
  });
  if (exchange.aborted) end();
  return { signal, over, end };
}
