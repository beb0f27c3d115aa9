import type { Clock } from "../../lib/clock.ts";
import type { JsonObject } from "../../lib/json.ts";
import { openVaultClient } from "./client.ts";
import { hasCode } from "./faults.ts";
import { createGuard } from "./guard.ts";
import { createManager, type VaultContext } from "./manager.ts";
import type { VaultConfig } from "./vault.ts";

/** A Vault that the gateway asks as itself, for what is no user's secret: the keys of tenants. */
export interface VaultKeeper {
  /** The answer's `data`; null: Vault refuses the request as such (400, 404). */
  write(path: string, body: JsonObject): Promise<JsonObject | null>;
  delete(path: string): Promise<void>;
  close(): Promise<void>;
}

/** Where the gateway's own identity is. */
const OWN: Omit<VaultContext, "namespace"> = { tenant: "", decisionId: "" };

export async function openVaultKeeper(
  config: Pick<VaultConfig, "address" | "ca" | "manager" | "timeoutMs">,
  clock: Clock,
): Promise<VaultKeeper> {
  const { manager: login, timeoutMs } = config;
  const { namespace } = login;
  const client = await openVaultClient(config);
  const manager = createManager({ client, guard: createGuard(clock), login, timeoutMs, clock });
  const context = { ...OWN, namespace };
  const call = { namespace, decisionId: "", timeoutMs };
  return {
    async write(path, body) {
      try {
        return (await manager.ask(context, (token) => client.write(path, body, { ...call, token }))).data;
      } catch (thrown) {
        if (hasCode(thrown, "vault_role_unknown")) return null;
        throw thrown;
      }
    },
    delete: (path) => manager.ask(context, (token) => client.delete(path, { ...call, token })),
    async close() {
      await manager.close();
      await client.close();
    },
  };
}
