import type { Adapter, AdapterFactory, AdapterPayload } from "oidc-provider";
import type { Clock } from "../lib/clock.ts";

/** Of each kind (clients, codes, tokens, …): anyone may register a client, nobody may fill the memory with them. */
const MAX_ENTRIES = 1_000;

interface Entry {
  readonly payload: AdapterPayload;
  /** Milliseconds since the epoch. */
  readonly expires: number;
}

/** The provider's storage: in memory, each kind bounded by itself, the least recently used going first. */
export function createStore(clock: Clock): AdapterFactory {
  return (): Adapter => {
    const entries = new Map<string, Entry>();

    function put(id: string, entry: Entry): void {
      entries.delete(id);
      entries.set(id, entry);
      if (entries.size > MAX_ENTRIES) {
        const [oldest] = entries.keys();
        if (oldest !== undefined) entries.delete(oldest);
      }
    }

    function get(id: string): AdapterPayload | undefined {
      const entry = entries.get(id);
      if (entry === undefined) return undefined;
      if (entry.expires <= clock()) entries.delete(id);
      else put(id, entry);
      return entries.get(id)?.payload;
    }

    function findBy(member: "uid" | "userCode", value: string): AdapterPayload | undefined {
      for (const [id, { payload }] of entries) if (payload[member] === value) return get(id);
      return undefined;
    }

    return {
      async upsert(id, payload, expiresIn) {
        put(id, {
          payload,
          expires: expiresIn === undefined ? Number.POSITIVE_INFINITY : clock() + expiresIn * 1_000,
        });
      },
      find: async (id) => get(id),
      findByUid: async (uid) => findBy("uid", uid),
      findByUserCode: async (userCode) => findBy("userCode", userCode),
      async consume(id) {
        const payload = get(id);
        if (payload !== undefined) payload.consumed = Math.floor(clock() / 1_000);
      },
      async destroy(id) {
        entries.delete(id);
      },
      async revokeByGrantId(grantId) {
        for (const [id, { payload }] of entries) if (payload.grantId === grantId) entries.delete(id);
      },
    };
  };
}
