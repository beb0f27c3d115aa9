import { queryObjects } from "node:v8";

/** How many lists of timers Node keeps: one for each delay. */
export function timerLists(): number {
  const timer = setTimeout(() => {}, 2_000_000_000).unref() as unknown as { _idleNext: object };
  const count = Number(queryObjects(timer._idleNext.constructor));
  clearTimeout(timer as unknown as NodeJS.Timeout);
  return count;
}
