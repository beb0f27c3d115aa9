import type { Admission } from "../gate/rooms.ts";
import type { Runs } from "../runs/runs.ts";
import type { Suspensions } from "../suspension/suspensions.ts";
import type { Ground } from "./ground.ts";
import { type OpenIdentity, openIdentity } from "./identity.ts";
import { openRuns } from "./runs.ts";
import type { Sharing } from "./sharing.ts";
import { admissionOf, openSuspensions } from "./suspensions.ts";
import type { Tenancy } from "./tenancy.ts";

export interface Principals extends OpenIdentity {
  readonly suspensions: Suspensions;
  /** null: they are not configured. */
  readonly runs: Runs | null;
  readonly admission: Admission;
}

/** Who may ask: users and their runs, known by their tokens, and nobody of a suspended tenant. */
export async function openPrincipals(
  ground: Ground,
  tenancy: Pick<Tenancy, "directory">,
  sharing: Sharing,
): Promise<Principals> {
  const suspensions = await openSuspensions(ground, sharing);
  const parts = { ...ground, ...sharing, overBefore: suspensions.changedAt };
  const runs = ground.closing.add(await openRuns(parts), (opened) => opened?.close());
  const admission = admissionOf(suspensions, runs);
  return { suspensions, runs, admission, ...openIdentity(ground, tenancy, runs) };
}
