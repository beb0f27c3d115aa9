import type { Clock } from "../lib/clock.ts";
import { LRUCache } from "../lib/lru.ts";
import type { RequestId } from "../lib/rpc.ts";

/** A request that takes longer to get here than its cancellation is not waited for. */
const LIFE_MS = 5000;
const MOST = 1000;

/**
 * Cancellations of what is not being answered here. One that came by another connection, or to another replica, may have
 * overtaken its request, which would else run on upstream with nobody waiting. Ids are not used twice within a session.
 */
export interface EarlyCancellations {
  add(session: string, request: RequestId): void;
  /** Whether this request was cancelled before it came. */
  take(session: string, request: RequestId): boolean;
}

export function createEarlyCancellations(clock: Clock): EarlyCancellations {
  const until = new LRUCache<string, number>({ max: MOST });
  const keyOf = (session: string, request: RequestId) => JSON.stringify([session, request]);
  return {
    add: (session, request) => void until.set(keyOf(session, request), clock() + LIFE_MS),
    take(session, request) {
      if (until.size === 0) return false;
      const key = keyOf(session, request);
      const end = until.get(key);
      if (end === undefined) return false;
      until.delete(key);
      return clock() < end;
    },
  };
}
