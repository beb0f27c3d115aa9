import { dropTimer } from "../lib/timers.ts";

/** What is back within seconds is asked within seconds; what stays away is not overrun. */
const RETRY_MS = [1_000, 2_000, 4_000, 5_000, 5_000, 5_000, 10_000, 30_000, 60_000];

/** What is tried until it is done. */
export interface Insisting {
  /** Settles with the first attempt. */
  readonly first: Promise<void>;
  /** No further attempts. */
  stop(): void;
}

/** `attempt` says whether that was all; it never rejects. */
export function insist(attempt: (isFirst: boolean) => Promise<boolean>): Insisting {
  let timer: NodeJS.Timeout | undefined;

  async function once(at: number): Promise<void> {
    if (await attempt(at === 0)) return;
    const wait = RETRY_MS[Math.min(at, RETRY_MS.length - 1)] ?? 0;
    timer = setTimeout(() => void once(at + 1), wait).unref();
  }

  return { first: once(0), stop: () => dropTimer(timer) };
}
