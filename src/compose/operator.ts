import type { Config } from "../config/config.ts";
import { didYouMean } from "../config/problems.ts";
import type { DecisionLog } from "../domain.ts";
import { PortcullisError } from "../lib/errors.ts";
import type { Order, Suspension, Suspensions } from "../suspension/suspensions.ts";

/** What an operator does by hand. Each act is in the decision log, with who did it. */
export interface Operator {
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

const MAX_REASON = 256;
const UNFIT = /[\p{Cc}\p{Cs}]/u;

export function createOperator(parts: {
  readonly config: Pick<Config, "tenants">;
  readonly suspensions: Suspensions;
  readonly decisions: Pick<DecisionLog, "operator">;
}): Operator {
  const { config, suspensions, decisions } = parts;
  const suspensionOf = (id: string) => suspensions.list().find(({ tenant }) => tenant === id) ?? null;

  /** One that is suspended is known, also when it was taken out of the configuration meanwhile. */
  async function checkKnown(id: string): Promise<void> {
    const ids = await config.tenants.ids();
    if (ids.includes(id) || suspensionOf(id) !== null) return;
    const hint = didYouMean(id, ids);
    const reason = `there is no tenant "${id}"${hint === "" ? "" : `, ${hint}`}`;
    throw new PortcullisError("tenant_unknown", { reason });
  }

  function checkReason({ reason }: Order): void {
    if (reason.length <= MAX_REASON && !UNFIT.test(reason)) return;
    const why = `a reason is one line of at most ${MAX_REASON} characters`;
    throw new PortcullisError("params_invalid", { reason: why });
  }

  return {
    async suspend(order) {
      checkReason(order);
      await checkKnown(order.tenant);
      // In force before it is recorded: nothing is served meanwhile that would have to be.
      const suspending = suspensions.suspend(order);
      const recording = decisions.operator({ phase: "operator", action: "tenant/suspend", ...order });
      const [told] = await Promise.all([suspending, recording]);
      return { told };
    },
    async resume(order) {
      checkReason(order);
      await checkKnown(order.tenant);
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
