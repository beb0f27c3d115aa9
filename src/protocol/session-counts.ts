import type { SharedStore } from "../domain.ts";
import { sessionKey } from "./session-value.ts";

/** Sessions that are counted together, and how many they may be at all replicas. */
export interface Cap {
  readonly of: string;
  readonly max: number;
}

/** How many sessions there are, of whoever shares a cap. All reject with `store_unavailable`. */
export interface SessionCounts {
  /** false: one of the caps is reached, and it is counted nowhere. */
  join(key: string, principalKey: string): Promise<boolean>;
  /** Beyond the caps that it was let in under, it stays: this only keeps it counted. */
  keep(key: string, principalKey: string): Promise<void>;
  leave(key: string, principalKey: string): Promise<void>;
}

export function createSessionCounts(
  store: Pick<SharedStore, "join" | "leave">,
  capsOf: (principalKey: string) => readonly Cap[],
  lifeMs: number,
): SessionCounts {
  async function leave(key: string, caps: readonly Cap[]): Promise<void> {
    await Promise.all(caps.map(({ of }) => store.leave(setOf(of), key)));
  }

  return {
    async join(key, principalKey) {
      const caps = capsOf(principalKey);
      for (const [at, { of, max }] of caps.entries()) {
        if (await store.join(setOf(of), key, lifeMs, max)) continue;
        await leave(key, caps.slice(0, at));
        return false;
      }
      return true;
    },
    async keep(key, principalKey) {
      await Promise.all(
        capsOf(principalKey).map(({ of }) => store.join(setOf(of), key, lifeMs, Number.MAX_SAFE_INTEGER)),
      );
    },
    leave: (key, principalKey) => leave(key, capsOf(principalKey)),
  };
}

function setOf(counted: string): string {
  return `sessions of ${sessionKey(counted)}`;
}
