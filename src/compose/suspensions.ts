import { join } from "node:path";
import type { AccountsOptions } from "../accounts/accounts.ts";
import type { DecisionLog } from "../domain.ts";
import type { Admission } from "../gate/rooms.ts";
import { clientIpOf } from "../http/client-ip.ts";
import type { Clock } from "../lib/clock.ts";
import { entryBesideMcp } from "../lib/decision-entry.ts";
import { toPortcullisError } from "../lib/errors.ts";
import { plainPrincipal } from "../lib/principal.ts";
import type { Runs } from "../runs/runs.ts";
import { createSuspensions, type Suspensions } from "../suspension/suspensions.ts";
import type { Ground } from "./ground.ts";
import type { Sharing } from "./sharing.ts";

/** Who is served nothing, known before anybody is served. */
export async function openSuspensions(
  { config, clock, log, closing }: Ground,
  { store, seal }: Pick<Sharing, "store" | "seal">,
): Promise<Suspensions> {
  const path = join(config.state.path, "suspensions.json");
  const suspensions = await createSuspensions({ path, store, seal, clock, log });
  return closing.add(suspensions, (opened) => opened.close());
}

export function admissionOf(suspensions: Suspensions, runs: Pick<Runs, "onEnd"> | null): Admission {
  return {
    check: ({ tenant }) => suspensions.admit(tenant),
    onEnd({ tenant, run }, end) {
      const stop = suspensions.onSuspend((id) => id === tenant && end());
      if (run === null || runs === null) return stop;
      const stopRun = runs.onEnd((id) => id === run.id && end());
      return () => {
        stop();
        stopRun();
      };
    },
  };
}

/** For the pages of connected accounts, whose user is known by a cookie. */
export function admitToPages(
  suspensions: Pick<Suspensions, "admit">,
  decisions: Pick<DecisionLog, "newId" | "decision">,
  clock: Clock,
): NonNullable<AccountsOptions["admit"]> {
  return async ({ tenant, issuer, subject }, { socket }) => {
    try {
      suspensions.admit(tenant);
    } catch (thrown) {
      const { code, reason } = toPortcullisError(thrown);
      const principal = plainPrincipal({ kind: "user", issuer, subject, tenant });
      const asked = { method: "accounts", clientIp: clientIpOf(socket), now: clock(), principal };
      const said = { effect: "deny", code, reasons: [reason] } as const;
      await decisions.decision(decisions.newId(), { ...entryBesideMcp(asked), ...said });
      throw thrown;
    }
  };
}
