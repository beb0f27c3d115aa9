import type { SharedStore } from "../domain.ts";
import type { Clock } from "../lib/clock.ts";

interface Kept<T> {
  readonly value: T;
  /** Milliseconds since the epoch. */
  expires: number;
}

interface Entries {
  /** Of the first entry that is left. */
  first: number;
  readonly values: string[];
  bytes: number;
}

const SWEEP_MS = 10_000;

/** What a gateway of one process shares with itself. Each step is done before its promise is given. */
export function createMemoryStore({ clock }: { readonly clock: Clock }): SharedStore {
  const values = new Map<string, Kept<string>>();
  const sets = new Map<string, Map<string, number>>();
  const logs = new Map<string, Kept<Entries>>();
  const channels = new Map<string, Set<(message: string) => void>>();

  function alive<T>(map: Map<string, Kept<T>>, key: string): Kept<T> | undefined {
    const kept = map.get(key);
    if (kept === undefined || kept.expires > clock()) return kept;
    map.delete(key);
    return undefined;
  }

  function put(key: string, value: string, ttlMs: number): void {
    values.set(key, { value, expires: clock() + ttlMs });
  }

  function membersOf(set: string): Map<string, number> {
    return sets.get(set) ?? new Map<string, number>();
  }

  function livingOf(set: string): Map<string, number> {
    const members = membersOf(set);
    for (const [member, expires] of members) if (expires <= clock()) members.delete(member);
    return members;
  }

  function sweep(): void {
    for (const map of [values, logs]) for (const key of map.keys()) alive<unknown>(map, key);
    for (const set of sets.keys()) if (livingOf(set).size === 0) sets.delete(set);
  }

  const sweeping = setInterval(sweep, SWEEP_MS).unref();

  return {
    async get(key) {
      return alive(values, key)?.value;
    },
    async touch(key, ttlMs) {
      const kept = alive(values, key);
      if (kept !== undefined) kept.expires = clock() + ttlMs;
      return kept?.value;
    },
    async set(key, value, ttlMs) {
      put(key, value, ttlMs);
    },
    async add(key, value, ttlMs) {
      if (alive(values, key) !== undefined) return false;
      put(key, value, ttlMs);
      return true;
    },
    async replace(key, before, value, ttlMs) {
      if (alive(values, key)?.value !== before) return false;
      put(key, value, ttlMs);
      return true;
    },
    async delete(key) {
      const maps: readonly Map<string, Kept<unknown>>[] = [values, logs];
      return maps.filter((map) => alive(map, key) !== undefined && map.delete(key)).length > 0;
    },
    async join(set, member, ttlMs, max) {
      // All are looked at only where there seem to be too many: otherwise each that joins would cost the more, the more
      // there are.
      const members = membersOf(set).size < max ? membersOf(set) : livingOf(set);
      if (!members.has(member) && members.size >= max) return false;
      sets.set(set, members.set(member, clock() + ttlMs));
      return true;
    },
    async leave(set, member) {
      const members = membersOf(set);
      members.delete(member);
      if (members.size === 0) sets.delete(set);
    },
    async members(set) {
      return [...livingOf(set).keys()];
    },
    async append(log, value, limits, ttlMs) {
      const entries: Entries = alive(logs, log)?.value ?? { first: 1, values: [], bytes: 0 };
      entries.values.push(value);
      entries.bytes += Buffer.byteLength(value);
      while (entries.values.length > limits.entries || entries.bytes > limits.bytes) {
        entries.bytes -= Buffer.byteLength(entries.values.shift() ?? "");
        entries.first += 1;
      }
      logs.set(log, { value: entries, expires: clock() + ttlMs });
      return entries.first + entries.values.length - 1;
    },
    async after(log, place) {
      const { first, values } = alive(logs, log)?.value ?? { first: 1, values: [] };
      const skipped = place + 1 - first;
      if (skipped < 0 || skipped > values.length) return undefined;
      return values.slice(skipped).map((value, index) => ({ place: place + 1 + index, value }));
    },
    async publish(channel, message) {
      // Later, as from a server: nobody hears his own words before he has finished speaking.
      for (const listener of channels.get(channel) ?? []) queueMicrotask(() => listener(message));
    },
    async subscribe(channel, listener) {
      const listeners = channels.get(channel) ?? new Set();
      // One listener may subscribe twice: each subscription is its own.
      const own = (message: string) => listener(message);
      channels.set(channel, listeners.add(own));
      return async () => {
        listeners.delete(own);
        if (listeners.size === 0 && channels.get(channel) === listeners) channels.delete(channel);
      };
    },
    healthy: true,
    async close() {
      clearInterval(sweeping);
      for (const map of [values, sets, logs, channels]) map.clear();
    },
  };
}
