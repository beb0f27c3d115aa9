import type { Principal } from "../../domain.ts";
import { PortcullisError } from "../../lib/errors.ts";
import type { VaultCall, VaultClient } from "./client.ts";
import { hasCode } from "./faults.ts";
import { type Granted, refused } from "./login.ts";
import { render, variablesOf } from "./path.ts";
import { type HeldToken, holdToken, type TokenParts, type UserToken } from "./user-token.ts";

/** After a crash nothing outlives the token that it hangs on: a longer one is not taken. */
const LONGEST_TOKEN_S = 300;

export interface UserTokens {
  /**
   * Works with a token of this principal's, and of this run's, alone: cached, renewed, made anew where it was ended
   * early; the work is then done a second time, and never a third.
   * @throws PortcullisError `vault_login_refused` when Vault does not take the user
   */
  use<T>(principal: Principal, decisionId: string, work: (user: UserToken) => Promise<T>): Promise<T>;
  /** Ends every token, and with it what hangs on it; nobody is logged in for any more. */
  close(): Promise<void>;
}

export interface UserTokensOptions extends TokenParts {
  login(client: VaultClient, call: Omit<VaultCall, "token">, principal: Principal): Promise<Granted>;
  /** A template, or "". */
  readonly namespace: string;
  readonly plainIssuer: string | null;
}

/** Whose token is asked for, and for which decision. */
interface Asked {
  readonly principal: Principal;
  readonly decisionId: string;
}

export function createUserTokens(options: UserTokensOptions): UserTokens {
  const { client, clock, timeoutMs } = options;
  /** By principal and run; a login under way is shared. */
  const logins = new Map<string, Promise<HeldToken>>();
  /** What is not over yet, also what nothing new is obtained with. */
  const alive = new Set<HeldToken>();
  let closed = false;

  function loginOf(key: string, asked: Asked): Promise<HeldToken> {
    if (closed) throw new PortcullisError("shutting_down");
    const known = logins.get(key);
    if (known !== undefined) return known;
    const login: Promise<HeldToken> = logIn(asked, () => forget(key, login));
    logins.set(key, login);
    login.catch(() => forget(key, login));
    return login;
  }

  function forget(key: string, which: Promise<HeldToken>): void {
    if (logins.get(key) === which) logins.delete(key);
  }

  async function logIn({ principal, decisionId }: Asked, onOver: () => void): Promise<HeldToken> {
    const { tenant } = principal;
    const variables = variablesOf(principal, "", options.plainIssuer);
    const context = { tenant, namespace: render(options.namespace, variables), decisionId };
    const call = { namespace: context.namespace, decisionId, timeoutMs };
    const startedAt = clock();
    const granted = await options.login(client, call, principal);
    const own: HeldToken = holdToken(granted, {
      ...options,
      context,
      startedAt,
      onOver() {
        alive.delete(own);
        onOver();
      },
    });
    alive.add(own);
    try {
      const problem = unfit(granted) ?? (await misplaced(granted, call));
      if (problem !== null) throw refused(problem);
      return own;
    } catch (thrown) {
      await own.end();
      throw thrown;
    }
  }

  /** A server that has no namespaces ignores the header: the token would be the root's. */
  async function misplaced({ token }: Granted, call: Omit<VaultCall, "token">): Promise<string | null> {
    if (call.namespace === "") return null;
    const { data } = await client.read("auth/token/lookup-self", { ...call, token });
    return data.namespace_path === `${call.namespace}/`
      ? null
      : "vault did not log in to the tenant's namespace";
  }

  /** `work` begins before anything else may end the token for want of holders. */
  async function withToken<T>(asked: Asked, work: (token: HeldToken) => Promise<T>): Promise<T> {
    const key = keyOf(asked.principal);
    const login = loginOf(key, asked);
    const token = await login;
    await token.refresh();
    if (!token.isSpent()) return work(token);
    forget(key, login);
    return work(await loginOf(key, asked));
  }

  return {
    use(principal, decisionId, work) {
      const asked = { principal, decisionId };
      return withToken(asked, async (token) => {
        try {
          return await token.work(decisionId, work);
        } catch (thrown) {
          if (!hasCode(thrown, "vault_denied") || (await token.isAlive())) throw thrown;
          token.died();
          return withToken(asked, (another) => another.work(decisionId, work));
        }
      });
    },
    async close() {
      closed = true;
      await Promise.allSettled(logins.values());
      await Promise.all([...alive].map((token) => token.end()));
    },
  };
}

function keyOf({ tenant, issuer, subject, run }: Principal): string {
  return JSON.stringify([tenant, issuer, subject, run?.id ?? null]);
}

function unfit({ accessor, ttl }: Granted): string | null {
  if (accessor === "") return "vault gave a batch token, which cannot be revoked";
  if (ttl === 0 || ttl > LONGEST_TOKEN_S) return `vault gave a token of more than ${LONGEST_TOKEN_S} s`;
  return null;
}
