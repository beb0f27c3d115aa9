import type { Principal } from "../../domain.ts";
import type { Clock } from "../../lib/clock.ts";
import type { Log } from "../../lib/log.ts";
import { patiently } from "../../lib/patience.ts";
import type { Signer } from "../signer.ts";
import type { LeaseOrder, MintedLease } from "../source.ts";
import { openVaultClient, type VaultCall, type VaultClient } from "./client.ts";
import { createGuard } from "./guard.ts";
import { GRACE_MS, withDeadline } from "./late.ts";
import { type AppRoleLogin, appRoleLogin, type JwtLogin, jwtLogin } from "./login.ts";
import { createManager, type Manager, type ManagerLogin } from "./manager.ts";
import { type Variables, variablesOf } from "./path.ts";
import type { UserToken } from "./user-token.ts";
import { createUserTokens } from "./user-tokens.ts";

/** How long `close` waits for the ends of tokens; those left then end by themselves, in minutes. */
const CLOSE_MS = 5_000;

/** One Vault or OpenBao server, and who the gateway is there. */
export interface VaultConfig {
  /** An origin. */
  readonly address: string;
  /** A template of the tenant's namespace, such as `tenants/{tenant}`; "" for none. */
  readonly namespace: string;
  /** PEM, or null: the system's authorities. */
  readonly ca: string | null;
  /** How it logs in for a user. */
  readonly login: JwtLogin | AppRoleLogin;
  /** Who renews and revokes. */
  readonly manager: ManagerLogin;
  /** The issuer whose subjects stand in Vault as they are; null: every subject is hashed. */
  readonly plainIssuer: string | null;
  /** The longest wait for one answer. */
  readonly timeoutMs: number;
}

/** What one request for a secret works with. */
export interface VaultWork {
  readonly client: VaultClient;
  readonly manager: Manager;
  readonly user: UserToken;
  /** What the user's token is sent with; it waits past the caller's deadline, so that what comes late can be ended. */
  readonly call: VaultCall;
}

export interface Vault {
  /**
   * Obtains a secret as this principal: in the tenant's lane, under the deadline, with a token of the user's own. What
   * comes after the deadline is discarded.
   * @throws PortcullisError `vault_*`, `overloaded`, `credential_refused`
   */
  obtain(
    principal: Principal,
    order: LeaseOrder,
    work: (given: VaultWork) => Promise<MintedLease>,
  ): Promise<MintedLease>;
  variables(principal: Principal, role: string): Variables;
  /** Ends every token of users, within 5 s, then the gateway's own. */
  close(): Promise<void>;
}

export interface VaultParts {
  /** The gateway's public URL: `iss` of what it signs. */
  readonly issuer: string;
  readonly signer: Signer;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Log;
}

export async function openVault(config: VaultConfig, parts: VaultParts): Promise<Vault> {
  const { timeoutMs, plainIssuer, namespace } = config;
  const { clock } = parts;
  const client = await openVaultClient(config);
  const guard = createGuard(clock);
  const manager = createManager({ client, guard, login: config.manager, timeoutMs, clock });
  const login =
    config.login.type === "jwt"
      ? jwtLogin(config.login, { ...parts, plainIssuer })
      : appRoleLogin(config.login);
  const tokens = createUserTokens({ ...parts, client, manager, login, namespace, plainIssuer, timeoutMs });

  return {
    obtain(principal, { decisionId, discard }, work) {
      const start = (begin: () => void) =>
        guard.run(principal.tenant, "mint", () => {
          begin();
          return tokens.use(principal, decisionId, (user) => {
            const { token, context } = user;
            const call = { token, namespace: context.namespace, decisionId, timeoutMs: timeoutMs + GRACE_MS };
            return work({ client, manager, user, call });
          });
        });
      return withDeadline(timeoutMs, start, (lease) => discard(lease, "it came after its deadline"));
    },
    variables: (principal, role) => variablesOf(principal, role, plainIssuer),
    async close() {
      await patiently(tokens.close(), CLOSE_MS);
      await manager.close();
      await client.close();
    },
  };
}
