import type { Config } from "../config/config.ts";
import type { DecisionLog } from "../domain.ts";
import type { Order, Suspension, Suspensions } from "../suspension/suspensions.ts";
import { checkReason, checkTenant } from "./operator-checks.ts";

export interface TenantsDesk {
  /**
   * Nothing is served to this tenant from now on, and what it holds ends. `told` false: replicas that do not hear of it
   * by the store learn it when that is back.
   *
   * @throws PortcullisError `tenant_unknown`, `params_invalid`
   */
  suspend(order: Order): Promise<{ readonly told: boolean }>;
  /** `was` null: it was not suspended. Throws as `suspend` does, and `store_unavailable`. */
  resume(order: Order): Promise<{ readonly told: boolean; readonly was: Suspension | null }>;
  tenants(): Promise<readonly TenantView[]>;
}

export interface TenantView {
  readonly tenant: string;
  /** null: it is served. */
  readonly suspension: Suspension | null;
}

export interface TenantsDeskParts {
  readonly config: Pick<Config, "tenants">;
  readonly suspensions: Pick<Suspensions, "list" | "suspend" | "resume">;
  readonly decisions: Pick<DecisionLog, "operator">;
}

export function createTenantsDesk({ config, suspensions, decisions }: TenantsDeskParts): TenantsDesk {
  const suspensionOf = (id: string) => suspensions.list().find(({ tenant }) => tenant === id) ?? null;

  async function check(order: Order): Promise<void> {
    checkReason(order);
    await checkTenant(order.tenant, config, suspensionOf(order.tenant) !== null);
  }

  return {
    async suspend(order) {
      await check(order);
      // In force before it is recorded: nothing is served meanwhile that would have to be.
      const suspending = suspensions.suspend(order);
      const recording = decisions.operator({ phase: "operator", action: "tenant/suspend", ...order });
      const [told] = await Promise.all([suspending, recording]);
      return { told };
    },
    async resume(order) {
      await check(order);
      const was = suspensionOf(order.tenant);
      if (was === null) return { told: true, was };
      const told = await suspensions.resume(order, () =>
        decisions.operator({ phase: "operator", action: "tenant/resume", ...order }),
      );
      return { told, was };
    },
    async tenants() {
      const suspended = new Map(suspensions.list().map((one) => [one.tenant, one]));
      const ids = new Set([...(await config.tenants.ids()), ...suspended.keys()]);
      return [...ids].sort().map((tenant) => ({ tenant, suspension: suspended.get(tenant) ?? null }));
    },
  };
}
