import type { Lease, Principal } from "../../domain.ts";
import type { Clock } from "../../lib/clock.ts";
import { isJsonObject, type Json, sha256 } from "../../lib/json.ts";
import { Secret } from "../../lib/secret.ts";
import type { SecretFields } from "../injection.ts";
import { type CredentialRequest, endsByItself, latestEnd, type MintedLease } from "../source.ts";
import type { VaultAnswer } from "./client.ts";
import type { UserToken } from "./user-token.ts";
import type { VaultWork } from "./vault.ts";

/** The parts of a secret that are text; nothing else can be injected. */
export function fieldsOf(data: Json | undefined): SecretFields {
  const given = isJsonObject(data) ? Object.entries(data) : [];
  return Object.fromEntries(
    given.flatMap(([name, value]) => (typeof value === "string" ? [[name, new Secret(value)]] : [])),
  );
}

type Secrets = Pick<Lease, "headers" | "env" | "certificate" | "secrets">;

/** A secret that Vault does not lease: it ends by expiring, here and there. */
export function unleased(
  secrets: Secrets,
  { user, expires, requestId, id }: { user: UserToken; expires: number; requestId: string; id: string },
): MintedLease {
  const release = user.hold(() => {});
  return { ...secrets, expires, sha256: sha256(id), requestId, revoke: endsByItself, release };
}

/**
 * A lease of Vault's, which dies with the user's token at the latest. The gateway's own identity renews and revokes
 * it, each time under the decision for which it was minted.
 */
export function leased(
  secrets: Secrets,
  answer: VaultAnswer,
  {
    request,
    principal,
    startedAt,
    clock,
    user,
    manager,
  }: {
    readonly request: CredentialRequest;
    readonly principal: Principal;
    /** Before it was asked for: it may have lived since. */
    readonly startedAt: number;
    readonly clock: Clock;
  } & Pick<VaultWork, "user" | "manager">,
): MintedLease {
  const { leaseId, leaseDuration, requestId, renewable } = answer;
  const listeners = new Set<() => void>();
  const release = user.hold(() => {
    for (const tell of listeners) tell();
  });
  const latest = (now: number) =>
    Math.min(latestEnd(request, principal, now), startedAt + request.longest * 1000);
  const lifeFrom = (now: number, seconds: number) => {
    const endsAt = Math.min(now + seconds * 1000, user.expires());
    return { endsAt, expires: Math.min(endsAt, latest(now)) };
  };
  return {
    ...secrets,
    ...lifeFrom(startedAt, leaseDuration),
    sha256: sha256(leaseId),
    requestId,
    ...(renewable && {
      async renew() {
        const now = clock();
        const wanted = Math.ceil((latest(now) - now) / 1000);
        // It lives no longer than the token it hangs on.
        await user.refresh();
        const { seconds, requestId } = await manager.renew(leaseId, wanted, user.context);
        return seconds === 0 ? null : { ...lifeFrom(now, seconds), requestId };
      },
    }),
    onGone: (listener) => void listeners.add(listener),
    async revoke() {
      await manager.revoke(leaseId, user.context);
      return "revoked";
    },
    release,
  };
}
