import type { Accounts } from "../accounts/accounts.ts";
import type { Config } from "../config/config.ts";
import { resolveSecret, resolveSecrets } from "../config/secret.ts";
import { type Credentials, createCredentials, type LeaseScope } from "../credential/credentials.ts";
import type { DecisionLog, Revision } from "../domain.ts";
import type { PolicyStore } from "../policy/store.ts";
import type { LinkedAccounts } from "./accounts.ts";
import type { Ground } from "./ground.ts";
import { secretsOf } from "./secrets.ts";
import { GATEWAY_TENANT, type Tenancy } from "./tenancy.ts";
import { vaultsOf } from "./vaults.ts";

/** Leases held at once, of all tenants together. */
const LEASES = 10_000;

/** The credential sources; what becomes of their leases goes to the decision log. */
export async function openCredentials(
  ground: Ground,
  parts: {
    readonly tenancy: Pick<Tenancy, "credentialsOf">;
    readonly decisions: Pick<DecisionLog, "lease">;
    readonly accounts: Pick<Accounts, "accessToken"> | null;
    readonly policies: Pick<PolicyStore, "current">;
  },
): Promise<Credentials> {
  const { config, clock, log, closing } = ground;
  const { accounts } = parts;
  const { signing_key: key } = config;
  const credentials = await createCredentials({
    sources: await resolveSecrets(config.credentials, secretsOf(ground)),
    tenants: parts.tenancy.credentialsOf,
    publicUrl: config.listen.public_url,
    signingKey: key === undefined ? null : await resolveSecret(key, secretsOf(ground)),
    vaults: await vaultsOf(ground),
    ...(accounts !== null && { accounts }),
    capacity: LEASES,
    clock,
    log,
    onLease: (entry) => parts.decisions.lease(entry),
    outdated: outdatedBy(parts.policies),
  });
  return closing.add(credentials, (opened) => opened.close());
}

/** No lease outlives what it was given for: the policy, the user's link to an account. Runs and sessions see to theirs. */
export function endLeases(
  { config }: Pick<Ground, "config">,
  credentials: Pick<Credentials, "retireWhere" | "revokeWhere">,
  policies: PolicyStore,
  linked: LinkedAccounts | null,
): void {
  const outdated = outdatedBy(policies);
  policies.onChange(() => credentials.retireWhere((scope) => outdated(scope) !== null, POLICIES_CHANGED));
  linked?.onLinkEnd(({ tenant, user, account, replaced }) => {
    const isIts = (scope: LeaseScope) =>
      scope.tenant === tenant &&
      (user === null || (user.issuer === scope.issuer && user.subject === scope.subject)) &&
      accountOf(config, scope.source, account);
    const reason = replaced ? "the account was linked anew" : "the account was unlinked";
    void credentials.revokeWhere(isIts, reason);
  });
}

const POLICIES_CHANGED = "the policies changed";

/** Why what was given under a revision is not to be used again: another decides now, or none does. */
function outdatedBy(policies: Pick<PolicyStore, "current">): (scope: LeaseScope) => string | null {
  function isCurrent(tenant: string, { platform, tenant: own }: Revision): boolean {
    try {
      const { revision } = policies.current(tenant);
      return revision.platform === platform && revision.tenant === own;
    } catch {
      return false;
    }
  }
  return ({ tenant, revision }) =>
    tenant === GATEWAY_TENANT || isCurrent(tenant, revision) ? null : POLICIES_CHANGED;
}

/** Whether a source takes its tokens from this account; null: from any. */
function accountOf({ credentials }: Config, source: string, account: string | null): boolean {
  const found = Object.hasOwn(credentials, source) ? credentials[source] : undefined;
  return found?.type === "connected-account" && (account === null || found.account === account);
}
