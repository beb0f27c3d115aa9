import type { Credentials } from "../credential/credentials.ts";
import type { Upstream } from "../domain.ts";
import { holderOf, isKeyOf, sessionKeyOf } from "../gate/principal.ts";
import { randomId } from "../lib/ids.ts";
import type { EventStore } from "../protocol/events.ts";
import { createSessions, type Sessions } from "../protocol/sessions.ts";
import type { Ground } from "./ground.ts";
import type { Sharing } from "./sharing.ts";
import type { Share } from "./tenancy.ts";

const SESSIONS_PER_USER = 100;

/** Legacy sessions; what one held goes with it, and with a user's last one the user's leases. */
export function openSessions(
  { config, log, clock, closing }: Ground,
  parts: Omit<Sharing, "key"> & {
    readonly upstreams: ReadonlyMap<string, Upstream>;
    readonly credentials: Pick<Credentials, "retireWhere">;
    readonly events: Pick<EventStore, "forget">;
    readonly share: Share;
  },
): Sessions {
  const { limits } = config;
  const { store, seal, replicas, isAlone, upstreams, credentials, events, share } = parts;
  const sessions = createSessions({
    store,
    seal,
    replicas,
    limits,
    capsOf(principalKey) {
      const { user, tenant } = holderOf(principalKey);
      return [
        { of: user, max: SESSIONS_PER_USER },
        { of: tenant, max: share(limits.sessions) },
        { of: "all", max: limits.sessions },
      ];
    },
    clock,
    log,
    newId: randomId,
    onEnd({ id, principalKey }, why) {
      // Another replica may go on with what this one held.
      if (why === "closed" && !isAlone) return;
      for (const upstream of upstreams.values()) {
        upstream
          .release(sessionKeyOf(id))
          .catch((err: unknown) => log.warn({ err }, "an upstream session was not ended"));
      }
      if (why === "closed") return;
      events.forget(id).catch((err: unknown) => log.warn({ err }, "events of a session were not forgotten"));
      if (!sessions.has(principalKey)) {
        credentials.retireWhere((scope) => isKeyOf(principalKey, scope), "the session ended");
      }
    },
  });
  return closing.add(sessions, (opened) => opened.close());
}
