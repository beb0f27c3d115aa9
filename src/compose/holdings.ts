import type { Credentials, LeaseScope } from "../credential/credentials.ts";
import type { Holder, Upstream } from "../domain.ts";
import type { Held } from "../gate/held.ts";
import { runOf, tenantOf } from "../gate/principal.ts";
import type { Sessions } from "../protocol/sessions.ts";
import type { Runs } from "../runs/runs.ts";
import type { Suspensions } from "../suspension/suspensions.ts";
import type { Ground } from "./ground.ts";

/** What is held here between the requests of a principal. */
interface Holdings {
  readonly sessions: Sessions;
  readonly held: Held;
  readonly credentials: Pick<Credentials, "revokeWhere">;
  readonly upstreams: ReadonlyMap<string, Pick<Upstream, "releaseWhere">>;
}

/** For whom it is held, in the words of each room. */
interface Whose {
  owns(principalKey: string): boolean;
  leases(scope: LeaseScope): boolean;
  holds(holder: Holder): boolean;
}

/** Whatever a run or a tenant holds here ends with it. */
export function endHoldings(
  holdings: Holdings,
  { runs, suspensions }: { readonly runs: Runs | null; readonly suspensions: Suspensions },
  log: Ground["log"],
): void {
  if (runs !== null) endRuns(runs, holdings, log);
  endSuspended(suspensions, holdings, runs);
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

function endRuns(runs: Runs, holdings: Holdings, log: Ground["log"]): void {
  runs.onEnd((id, why) => {
    const its: Whose = {
      owns: (principalKey) => runOf(principalKey) === id,
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

/** With a suspended tenant its runs end too, which are over for good. */
function endSuspended(
  suspensions: Pick<Suspensions, "onSuspend">,
  holdings: Holdings,
  runs: Pick<Runs, "endWhere"> | null,
): void {
  suspensions.onSuspend((id) => {
    const its: Whose = {
      owns: (principalKey) => tenantOf(principalKey) === id,
      leases: ({ tenant }) => tenant === id,
      holds: ({ tenant }) => tenant === id,
    };
    return Promise.all([letGo(holdings, its, "the tenant was suspended"), runs?.endWhere(id, () => true)]);
  });
}
