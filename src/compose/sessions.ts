import type { Credentials, LeaseScope } from "../credential/credentials.ts";
import type { Holder, Upstream } from "../domain.ts";
import type { Held } from "../gate/held.ts";
import { holderOf, ownedBy, runOf, sessionOwner, tenantOf } from "../gate/principal.ts";
import { randomId } from "../lib/ids.ts";
import { createSessions, type Sessions } from "../protocol/sessions.ts";
import type { Runs } from "../runs/runs.ts";
import type { Suspensions } from "../suspension/suspensions.ts";
import type { Ground } from "./ground.ts";
import type { Sharing } from "./sharing.ts";

const SESSIONS_PER_USER = 100;

/** How many of so many one tenant may hold: all, where there is no other. */
export type Share = (max: number) => number;

export function shareOf({ limits }: Ground["config"], tenants: number): Share {
  return (max) => (tenants > 1 ? Math.max(1, Math.floor(max * limits.tenant_share)) : max);
}

/** Legacy sessions; what one held goes with it, and with a user's last one the user's leases. */
export function openSessions(
  { config, log, clock, closing }: Ground,
  { store, seal, replicas }: Pick<Sharing, "store" | "seal" | "replicas">,
  upstreams: ReadonlyMap<string, Upstream>,
  credentials: Pick<Credentials, "retireWhere">,
  share: Share,
): Sessions {
  const { limits } = config;
  const sessions = createSessions({
    store,
    seal,
    replicas,
    limits,
    capsOf(owner) {
      const { user, tenant } = holderOf(owner);
      return [
        { of: user, max: SESSIONS_PER_USER },
        { of: tenant, max: share(limits.sessions) },
        { of: "all", max: limits.sessions },
      ];
    },
    clock,
    log,
    newId: randomId,
    onEnd({ id, owner }, why) {
      // Where the store is shared, another replica may go on with what this one held.
      if (why === "closed" && config.sessions.store !== "memory") return;
      for (const upstream of upstreams.values()) {
        upstream
          .release(sessionOwner(id))
          .catch((err: unknown) => log.warn({ err }, "an upstream session was not ended"));
      }
      if (why !== "closed" && !sessions.has(owner)) {
        credentials.retireWhere((scope) => ownedBy(owner, scope), "the session ended");
      }
    },
  });
  return closing.add(sessions, (opened) => opened.close());
}

/** What is held here between the requests of a principal. */
export interface Holdings {
  readonly sessions: Sessions;
  readonly held: Held;
  readonly credentials: Pick<Credentials, "revokeWhere">;
  readonly upstreams: ReadonlyMap<string, Pick<Upstream, "releaseWhere">>;
}

/** For whom it is held, in the words of each room. */
interface Whose {
  owns(owner: string): boolean;
  leases(scope: LeaseScope): boolean;
  holds(holder: Holder): boolean;
}

/** Ends what is held here for them. Settles after one attempt on each. */
async function letGo(
  { sessions, held, credentials, upstreams }: Holdings,
  { owns, leases, holds }: Whose,
  reason: string,
): Promise<void> {
  held.drop(owns);
  const attempts = await Promise.allSettled([
    credentials.revokeWhere(leases, reason),
    sessions.deleteWhere(owns),
    ...[...upstreams.values()].map((upstream) => upstream.releaseWhere(holds)),
  ]);
  for (const attempt of attempts) if (attempt.status === "rejected") throw attempt.reason;
}

/** Whatever a run holds here ends with it. */
export function endRuns(runs: Runs, holdings: Holdings, log: Ground["log"]): void {
  runs.onEnd((id, why) => {
    const its: Whose = {
      owns: (owner) => runOf(owner) === id,
      leases: ({ run }) => run === id,
      holds: ({ user }) => user !== null && runOf(user) === id,
    };
    letGo(holdings, its, RUN_OVER[why]).catch((err: unknown) =>
      log.warn({ err, run: id }, "sessions of a run were not ended"),
    );
  });
}

const RUN_OVER = {
  ended: "the run was ended",
  expired: "the run expired",
  unconfirmed: "nobody could say whether the run goes on",
} as const;

/** Whatever a tenant holds here ends when it is suspended, and its runs, which are over for good. */
export function endSuspended(
  suspensions: Pick<Suspensions, "onSuspend">,
  holdings: Holdings,
  runs: Pick<Runs, "endWhere"> | null,
): void {
  suspensions.onSuspend((id) => {
    const its: Whose = {
      owns: (owner) => tenantOf(owner) === id,
      leases: ({ tenant }) => tenant === id,
      holds: ({ tenant }) => tenant === id,
    };
    return Promise.all([letGo(holdings, its, "the tenant was suspended"), runs?.endWhere(id, () => true)]);
  });
}
