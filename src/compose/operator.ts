import { type AccountsDesk, type AccountsDeskParts, createAccountsDesk } from "./operator-accounts.ts";
import { createTenantsDesk, type TenantsDesk, type TenantsDeskParts } from "./operator-tenants.ts";

/** What an operator does by hand. Each act is in the decision log, with who did it. */
export interface Operator extends TenantsDesk, AccountsDesk {}

export function createOperator(parts: TenantsDeskParts & AccountsDeskParts): Operator {
  return { ...createTenantsDesk(parts), ...createAccountsDesk(parts) };
}
