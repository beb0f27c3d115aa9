/** What is back within seconds is asked within seconds; what stays away is not overrun. */
const RETRY_MS = [1_000, 2_000, 4_000, 5_000, 5_000, 5_000, 10_000, 30_000, 60_000];

/**
 * Tries until it is done, or given up. Settles with the first attempt; `attempt` says whether that was all, and never
 * rejects.
 */
export async function insist(
  attempt: (isFirst: boolean) => Promise<boolean>,
  isGivenUp: () => boolean,
  at = 0,
): Promise<void> {
  const isDone = await attempt(at === 0);
  if (isDone || isGivenUp()) return;
  const again = () => void (isGivenUp() || insist(attempt, isGivenUp, at + 1));
  setTimeout(again, RETRY_MS[Math.min(at, RETRY_MS.length - 1)]).unref();
}
