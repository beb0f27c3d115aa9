import type { Clock } from "../../lib/clock.ts";
import { PortcullisError } from "../../lib/errors.ts";
import type { JsonObject } from "../../lib/json.ts";
import type { VaultAnswer, VaultClient } from "./client.ts";
import { hasCode, malformed } from "./faults.ts";
import type { Guard } from "./guard.ts";
import { type AppRoleLogin, appRoleLogin, type Granted, isAlive } from "./login.ts";

/** Where a lease or a token lives, and for which decision it is touched. */
export interface VaultContext {
  readonly tenant: string;
  readonly namespace: string;
  readonly decisionId: string;
}

/**
 * The gateway's own identity, which renews and revokes what users' tokens hold. Those may not do so themselves: within
 * a namespace whoever may revoke may revoke any tenant's lease by its id.
 */
export interface Manager {
  /**
   * Resolves when it is logged in: nothing is minted that could not be revoked. For who is in the tenant's lane already:
   * who tries whether Vault is back must not be refused for that very try.
   */
  ready(decisionId: string): Promise<void>;
  /** Seconds that the lease lives from now; 0: there is no such lease any more. */
  renew(
    leaseId: string,
    seconds: number,
    context: VaultContext,
  ): Promise<{ readonly seconds: number; readonly requestId: string }>;
  /** Resolves when the lease is gone; to revoke twice is no error. */
  revoke(leaseId: string, context: VaultContext): Promise<{ readonly requestId: string }>;
  /** Ends a token, and just after it all its leases. */
  revokeToken(accessor: string, context: VaultContext): Promise<void>;
  /** Asks for something else as itself. */
  ask<T>(context: VaultContext, work: (token: Granted["token"]) => Promise<T>): Promise<T>;
  /** Ends its own token. */
  close(): Promise<void>;
}

/** Who it is there. `namespace`: where it logs in, "" for the root. */
export type ManagerLogin = AppRoleLogin & { readonly namespace: string };

interface Held extends Granted {
  /** Milliseconds since the epoch: from then on it logs in anew. */
  readonly freshUntil: number;
}

export function createManager(options: {
  readonly client: VaultClient;
  readonly guard: Guard;
  readonly login: ManagerLogin;
  readonly timeoutMs: number;
  readonly clock: Clock;
}): Manager {
  const { client, guard, timeoutMs, clock } = options;
  const { namespace } = options.login;
  const login = appRoleLogin(options.login);
  let held: Held | null = null;
  let pending: Promise<Held> | null = null;
  let closed = false;

  async function logIn(decisionId: string): Promise<Held> {
    if (closed) throw new PortcullisError("shutting_down");
    const startedAt = clock();
    const granted = await login(client, { namespace, decisionId, timeoutMs });
    const life = granted.ttl === 0 ? Number.POSITIVE_INFINITY : granted.ttl * 1000;
    held = { ...granted, freshUntil: startedAt + (life * 2) / 3 };
    return held;
  }

  async function current(decisionId: string): Promise<Held> {
    if (held !== null && clock() < held.freshUntil) return held;
    pending ??= logIn(decisionId).finally(() => {
      pending = null;
    });
    return pending;
  }

  function ask<T>(
    { tenant, decisionId }: VaultContext,
    work: (token: Granted["token"]) => Promise<T>,
  ): Promise<T> {
    return guard.run(tenant, "manage", async () => {
      const own = await current(decisionId);
      try {
        return await work(own.token);
      } catch (thrown) {
        const call = { token: own.token, namespace, decisionId, timeoutMs };
        if (!hasCode(thrown, "vault_denied") || (await isAlive(client, call))) throw thrown;
        if (held === own) held = null;
        return work((await current(decisionId)).token);
      }
    });
  }

  function write(path: string, data: JsonObject, context: VaultContext): Promise<VaultAnswer> {
    const call = { namespace: context.namespace, decisionId: context.decisionId, timeoutMs };
    return ask(context, (token) => client.write(path, data, { ...call, token }));
  }

  return {
    ready: async (decisionId) => void (await current(decisionId)),
    async renew(leaseId, seconds, context) {
      try {
        const answer = await write("sys/leases/renew", { lease_id: leaseId, increment: seconds }, context);
        if (answer.leaseDuration <= 0) throw malformed("lease duration");
        return { seconds: answer.leaseDuration, requestId: answer.requestId };
      } catch (thrown) {
        if (hasCode(thrown, "vault_role_unknown")) return { seconds: 0, requestId: "" };
        throw thrown;
      }
    },
    async revoke(leaseId, context) {
      const { requestId } = await write("sys/leases/revoke", { lease_id: leaseId, sync: true }, context);
      return { requestId };
    },
    async revokeToken(accessor, context) {
      try {
        await write("auth/token/revoke-accessor", { accessor }, context);
      } catch (thrown) {
        // It is gone already.
        if (!hasCode(thrown, "vault_role_unknown")) throw thrown;
      }
    },
    ask,
    async close() {
      closed = true;
      const own = held;
      if (own === null) return;
      const call = { token: own.token, namespace, decisionId: "", timeoutMs };
      await client.write("auth/token/revoke-self", {}, call).catch(() => {});
    },
  };
}
