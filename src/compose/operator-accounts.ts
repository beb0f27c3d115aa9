import type { Accounts, LinkKey, LinkView, Shredded } from "../accounts/accounts.ts";
import type { Config } from "../config/config.ts";
import { didYouMean } from "../config/problems.ts";
import type { DecisionLog, UserKey } from "../domain.ts";
import { PortcullisError } from "../lib/errors.ts";
import type { Order } from "../suspension/suspensions.ts";
import { checkReason, checkTenant } from "./operator-checks.ts";

/** Other people's connected accounts, in an operator's hands. No token is shown to anybody. */
export interface AccountsDesk {
  /** @throws PortcullisError `tenant_unknown`, `params_invalid` where none are configured */
  links(tenant: string, subject?: string): Promise<readonly (UserKey & LinkView)[]>;
  /**
   * Deletes a link, ends what was held with it at every replica, and tells the third party. `issuer` "": the only one
   * that is configured.
   */
  unlink(order: UnlinkOrder): Promise<UnlinkAnswer>;
  /** Destroys the tenant's key, for good. */
  shred(order: Order): Promise<Shredded>;
}

export type UnlinkOrder = Order & Omit<LinkKey, "tenant">;

/** `hint`: which links this user has; `revoked` false: the third party could not be told. */
export type UnlinkAnswer =
  | { readonly found: false; readonly hint: string }
  | { readonly found: true; readonly revoked: boolean };

export interface AccountsDeskParts {
  readonly config: Pick<Config, "tenants" | "issuers">;
  /** null: none are configured. */
  readonly accounts: Pick<Accounts, "inTenant" | "unlink" | "shred"> | null;
  readonly embedded: { readonly issuer: string } | null;
  readonly decisions: Pick<DecisionLog, "operator">;
}

export function createAccountsDesk(parts: AccountsDeskParts): AccountsDesk {
  const { config, accounts, embedded, decisions } = parts;

  function known() {
    if (accounts !== null) return accounts;
    throw new PortcullisError("params_invalid", { reason: "no connected accounts are configured" });
  }

  async function linksOf(tenant: string, subject?: string): Promise<readonly (UserKey & LinkView)[]> {
    const found = await known().inTenant(tenant, subject);
    await checkTenant(tenant, config, found.length > 0);
    return found;
  }

  function issuerOf(named: string): string {
    const issuers = [
      ...config.issuers.map(({ issuer }) => issuer),
      ...(embedded === null ? [] : [embedded.issuer]),
    ];
    const [only = "", ...others] = issuers;
    if (named !== "" || others.length === 0) return named || only;
    const reason = `two issuers may each have this subject: name one of ${issuers.join(", ")}`;
    throw new PortcullisError("params_invalid", { reason });
  }

  return {
    links: linksOf,
    async unlink({ reason, by, ...asked }) {
      checkReason({ reason });
      const key = { ...asked, issuer: issuerOf(asked.issuer) };
      const links = (await linksOf(key.tenant, key.subject)).filter(({ issuer }) => issuer === key.issuer);
      const names = links.map(({ account }) => account);
      if (!names.includes(key.account)) return { found: false, hint: hintOf(key.account, names) };
      await decisions.operator({ phase: "operator", action: "accounts/unlink", ...key, reason, by });
      const gone = await known().unlink(key);
      return gone.found ? gone : { found: false, hint: "" };
    },
    async shred(order) {
      checkReason(order);
      await linksOf(order.tenant);
      await decisions.operator({ phase: "operator", action: "accounts/shred", ...order });
      return known().shred(order.tenant);
    },
  };
}

function hintOf(account: string, names: readonly string[]): string {
  if (names.length === 0) return "";
  return didYouMean(account, names) || `linked are ${names.join(", ")}`;
}
