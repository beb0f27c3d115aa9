import type { SharedStore } from "../../src/domain.ts";
import type { Clock } from "../../src/lib/clock.ts";
import { randomId } from "../../src/lib/ids.ts";
import { silentLog } from "../../src/lib/log.ts";
import { createSeal } from "../../src/lib/seal.ts";
import { createReplicas, type Replicas } from "../../src/protocol/replicas.ts";
import { createSessions, type Sessions, type SessionsOptions } from "../../src/protocol/sessions.ts";

/** One process of a gateway, as far as its sessions go. */
export interface Replica {
  readonly sessions: Sessions;
  readonly replicas: Replicas;
  /** Owner and reason of each session that ended here. */
  readonly ended: [string, string][];
  close(): Promise<void>;
}

export interface ReplicaOptions {
  readonly store: SharedStore;
  readonly node: string;
  readonly key: Buffer;
  readonly clock: Clock;
  readonly limits: SessionsOptions["limits"] & {
    readonly sessions: number;
    readonly sessions_per_principal: number;
  };
}

export async function startReplica({ store, node, key, clock, limits }: ReplicaOptions): Promise<Replica> {
  const ended: [string, string][] = [];
  const shared = { store, seal: createSeal(key), newId: randomId, clock, log: silentLog };
  const replicas = await createReplicas({ ...shared, node });
  const sessions = createSessions({
    ...shared,
    replicas,
    limits,
    capsOf: (principalKey) => [
      { of: principalKey, max: limits.sessions_per_principal },
      { of: "all", max: limits.sessions },
    ],
    onEnd: ({ principalKey }, why) => ended.push([principalKey, why]),
  });
  return {
    sessions,
    replicas,
    ended,
    async close() {
      await sessions.close();
      await replicas.close();
    },
  };
}

export const start = (principalKey: string, server = "support") => ({
  principalKey,
  server,
  version: "2025-11-25",
  clientInfo: { name: "c" },
  clientCapabilities: { roots: {} },
});
