import type { Credentials } from "../credential/credentials.ts";
import type { Upstream } from "../domain.ts";
import type { Held } from "../gate/held.ts";
import { ownedBy, runOf } from "../gate/principal.ts";
import { randomId } from "../lib/ids.ts";
import { createSessions, type Sessions } from "../protocol/sessions.ts";
import type { Runs } from "../runs/runs.ts";
import type { Ground } from "./rooms.ts";
import type { Sharing } from "./sharing.ts";

const SESSIONS_PER_OWNER = 100;

/** Legacy sessions; what one held goes with it, and with a user's last one the user's leases. */
export function openSessions(
  { config, log, clock, closing }: Ground,
  { store, seal, replicas }: Pick<Sharing, "store" | "seal" | "replicas">,
  upstreams: ReadonlyMap<string, Upstream>,
  credentials: Pick<Credentials, "retireWhere">,
): Sessions {
  const sessions = createSessions({
    store,
    seal,
    replicas,
    limits: { ...config.limits, sessions_per_owner: SESSIONS_PER_OWNER },
    clock,
    log,
    newId: randomId,
    onEnd({ id, owner }, why) {
      // Where the store is shared, another replica may go on with what this one held.
      if (why === "closed" && config.sessions.store !== "memory") return;
      for (const upstream of upstreams.values()) {
        upstream
          .release(`session ${id}`)
          .catch((err: unknown) => log.warn({ err }, "an upstream session was not ended"));
      }
      if (why !== "closed" && !sessions.has(owner)) {
        credentials.retireWhere((scope) => ownedBy(owner, scope), "the session ended");
      }
    },
  });
  return closing.add(sessions, (opened) => opened.close());
}

/** Whatever a run holds here ends with it. */
export function endRuns(
  runs: Runs,
  { sessions, held }: { readonly sessions: Sessions; readonly held: Held },
  credentials: Pick<Credentials, "revokeWhere">,
  log: Ground["log"],
): void {
  runs.onEnd((id, why) => {
    const isIts = (owner: string) => runOf(owner) === id;
    held.drop(isIts);
    sessions
      .deleteWhere(isIts)
      .catch((err: unknown) => log.warn({ err, run: id }, "sessions of a run were not ended"));
    void credentials.revokeWhere(({ run }) => run === id, RUN_OVER[why]);
  });
}

const RUN_OVER = {
  ended: "the run was ended",
  expired: "the run expired",
  unconfirmed: "nobody could say whether the run goes on",
} as const;
