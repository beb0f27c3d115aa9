import type { Config } from "../config/config.ts";
import type { DecisionLog } from "../domain.ts";
import type { Suspensions } from "../suspension/suspensions.ts";
import type { LinkedAccounts } from "./accounts.ts";
import { type AccountsDesk, createAccountsDesk } from "./operator-accounts.ts";
import { createTenantsDesk, type TenantsDesk } from "./operator-tenants.ts";

/** What an operator does by hand. Each act is in the decision log, with who did it. */
export interface Operator extends TenantsDesk, AccountsDesk {}

export interface OperatorParts {
  readonly config: Pick<Config, "tenants" | "issuers">;
  readonly suspensions: Suspensions;
  /** null: none are configured. */
  readonly accounts: LinkedAccounts | null;
  readonly embedded: { readonly issuer: string } | null;
  readonly decisions: Pick<DecisionLog, "operator">;
}

export function createOperator(parts: OperatorParts): Operator {
  return { ...createTenantsDesk(parts), ...createAccountsDesk(parts) };
}
