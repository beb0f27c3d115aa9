import type { Principal } from "../../domain.ts";
import type { Clock } from "../../lib/clock.ts";
import type { Secret } from "../../lib/secret.ts";
import { type CredentialSource, endsByItself, latestEnd } from "../source.ts";
import { bearerLease } from "./lease.ts";

/** The accounts that users have linked, as this source needs them. */
export interface AccountTokens {
  /**
   * An access token of the account that this user linked.
   * Rejects with `account_required` and where to link it, `idp_unavailable` or `store_unavailable`.
   */
  accessToken(
    account: string,
    principal: Principal,
  ): Promise<{
    readonly token: Secret;
    /** Milliseconds since the epoch. */
    readonly expires: number;
    /** Somebody did not accept it: the next asker gets another. */
    reject(): void;
  }>;
}

/** The user's own account at a third party. Its token serves all the user's leases, so that no lease revokes it there. */
export function createConnectedAccountSource(options: {
  readonly account: string;
  readonly accounts: AccountTokens;
  readonly clock: Clock;
}): CredentialSource {
  const { account, accounts, clock } = options;
  return {
    async obtain(request, principal) {
      const end = latestEnd(request, principal, clock());
      const { token, expires, reject } = await accounts.accessToken(account, principal);
      return bearerLease(token, Math.min(end, expires), { rejected: reject, revoke: endsByItself });
    },
    close: async () => {},
  };
}
