import type { Principal } from "../../domain.ts";
import type { Clock } from "../../lib/clock.ts";
import { PortcullisError, toPortcullisError } from "../../lib/errors.ts";
import type { Log } from "../../lib/log.ts";
import type { Secret } from "../../lib/secret.ts";
import type { VaultCall, VaultClient } from "./client.ts";
import { hasCode } from "./faults.ts";
import { type Granted, grantedBy, isAlive, refused } from "./login.ts";
import type { Manager, VaultContext } from "./manager.ts";
import { render, variablesOf } from "./path.ts";

/** A token that hardly lives on is not used: the request takes time. */
const MARGIN_MS = 2_000;
/** After a crash nothing outlives the token that it hangs on: a longer one is not taken. */
const LONGEST_TOKEN_S = 300;

/** The user's token at work: what it obtains ends when it ends. */
export interface UserToken {
  readonly token: Secret;
  readonly context: VaultContext;
  /** Milliseconds since the epoch. */
  expires(): number;
  /** Lets it live on if two thirds of its life are over; what hangs on it may then live on too. */
  refresh(): Promise<void>;
  /**
   * Something hangs on it, until the returned function says that it is gone: the last one ends the token. `onDead` is
   * called when the token was ended early, and what hung on it with it.
   */
  hold(onDead: () => void): () => Promise<void>;
}

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

export interface UserTokensOptions {
  readonly client: VaultClient;
  readonly manager: Manager;
  login(client: VaultClient, call: Omit<VaultCall, "token">, principal: Principal): Promise<Granted>;
  /** A template, or "". */
  readonly namespace: string;
  readonly plainIssuer: string | null;
  readonly timeoutMs: number;
  readonly clock: Clock;
  /** 0 to 1: spreads renewals. */
  readonly random: () => number;
  readonly log: Log;
}

/** The state of one token. */
interface Session {
  readonly granted: Granted;
  readonly context: VaultContext;
  expires: number;
  renewAt: number;
  renewing: Promise<void> | null;
  /** Requests under way. */
  busy: number;
  /** What hangs on it, to be told when it is dead. */
  readonly holders: Set<() => void>;
  /** Nothing new is obtained with it. */
  over: boolean;
}

export function createUserTokens(options: UserTokensOptions): UserTokens {
  const { client, manager, clock, log, timeoutMs } = options;
  /** By principal and run; a login under way is shared. */
  const sessions = new Map<string, Promise<Session>>();
  let closed = false;

  async function logIn(principal: Principal, decisionId: string): Promise<Session> {
    const variables = variablesOf(principal, "", options.plainIssuer);
    const context = {
      tenant: principal.tenant,
      namespace: render(options.namespace, variables),
      decisionId,
    };
    const startedAt = clock();
    const granted = await options.login(client, callOf(context), principal);
    const session: Session = {
      granted,
      context,
      ...lifeFrom(startedAt, granted.ttl),
      renewing: null,
      busy: 0,
      holders: new Set(),
      over: false,
    };
    try {
      const problem = unfit(granted) ?? (await misplaced(granted, context));
      if (problem !== null) throw refused(problem);
      return session;
    } catch (thrown) {
      await end(session);
      throw thrown;
    }
  }

  /** A server that has no namespaces ignores the header: the token would be the root's. */
  async function misplaced({ token }: Granted, context: VaultContext): Promise<string | null> {
    if (context.namespace === "") return null;
    const { data } = await client.read("auth/token/lookup-self", { ...callOf(context), token });
    return data.namespace_path === `${context.namespace}/`
      ? null
      : "vault did not log in to the tenant's namespace";
  }

  function lifeFrom(startedAt: number, seconds: number): { expires: number; renewAt: number } {
    const life = seconds * 1000;
    return { expires: startedAt + life, renewAt: startedAt + life * (2 / 3 - options.random() / 10) };
  }

  function callOf({ namespace, decisionId }: VaultContext): Omit<VaultCall, "token"> {
    return { namespace, decisionId, timeoutMs };
  }

  function ownCall({ context, granted }: Session): VaultCall {
    return { ...callOf(context), token: granted.token };
  }

  /** Single flight. A renewal that fails is no harm while the token lives. */
  async function refresh(session: Session): Promise<void> {
    if (clock() < session.renewAt || session.over || !session.granted.renewable) return;
    session.renewing ??= renew(session).finally(() => {
      session.renewing = null;
    });
    await session.renewing;
  }

  async function renew(session: Session): Promise<void> {
    const startedAt = clock();
    try {
      const { ttl } = grantedBy(await client.write("auth/token/renew-self", {}, ownCall(session)));
      Object.assign(session, lifeFrom(startedAt, ttl));
    } catch (thrown) {
      // Policy may not let it renew itself; whether it is dead shows when it is used.
      session.renewAt = startedAt + Math.max(1000, (session.expires - startedAt) / 4);
      if (!hasCode(thrown, "vault_denied") && clock() >= session.expires - MARGIN_MS) throw thrown;
    }
  }

  /** Too near its end, also after a renewal: what is obtained now would hardly live. */
  function isSpent(session: Session): boolean {
    const left = session.expires - clock();
    return session.over || left < MARGIN_MS || left < (session.granted.ttl * 1000) / 4;
  }

  function sessionOf(key: string, principal: Principal, decisionId: string): Promise<Session> {
    if (closed) throw new PortcullisError("shutting_down");
    let found = sessions.get(key);
    if (found === undefined) {
      const login = logIn(principal, decisionId);
      found = login;
      sessions.set(key, login);
      login.then(
        (session) => forgetAtEnd(key, login, session),
        () => forget(key, login),
      );
    }
    return found;
  }

  function forget(key: string, which: Promise<Session>): void {
    if (sessions.get(key) === which) sessions.delete(key);
  }

  function forgetAtEnd(key: string, which: Promise<Session>, session: Session): void {
    const left = session.expires - clock();
    if (left <= 0 || session.over) forget(key, which);
    else setTimeout(() => forgetAtEnd(key, which, session), left).unref();
  }

  async function current(key: string, principal: Principal, decisionId: string): Promise<Session> {
    const found = sessionOf(key, principal, decisionId);
    const session = await found;
    await refresh(session);
    if (!isSpent(session)) return session;
    forget(key, found);
    return sessionOf(key, principal, decisionId);
  }

  /** Once. Never rejects: the token ends by itself, in minutes. */
  async function end(session: Session): Promise<void> {
    if (session.over) return;
    session.over = true;
    if (session.granted.accessor === "" || clock() >= session.expires) return;
    await manager.revokeToken(session.granted.accessor, session.context).catch((thrown: unknown) => {
      const { code } = toPortcullisError(thrown);
      log.warn(
        { code, tenant: session.context.tenant },
        "a Vault token could not be revoked; it ends when it expires",
      );
    });
  }

  /** Ended early by somebody else, and every lease of it too. */
  function died(session: Session): void {
    session.over = true;
    for (const tell of [...session.holders]) tell();
  }

  return {
    async use(principal, decisionId, work) {
      const key = keyOf(principal);
      const session = await current(key, principal, decisionId);
      try {
        return await working(session, decisionId, work);
      } catch (thrown) {
        if (!hasCode(thrown, "vault_denied") || (await isAlive(client, ownCall(session)))) throw thrown;
        died(session);
        return working(await current(key, principal, decisionId), decisionId, work);
      }
    },
    async close() {
      closed = true;
      const all = await Promise.allSettled(sessions.values());
      sessions.clear();
      await Promise.all(all.map((one) => (one.status === "fulfilled" ? end(one.value) : undefined)));
    },
  };

  async function working<T>(
    session: Session,
    decisionId: string,
    work: (user: UserToken) => Promise<T>,
  ): Promise<T> {
    session.busy += 1;
    try {
      return await work(asUser(session, decisionId));
    } finally {
      session.busy -= 1;
    }
  }

  function asUser(session: Session, decisionId: string): UserToken {
    return {
      token: session.granted.token,
      context: { ...session.context, decisionId },
      expires: () => session.expires,
      refresh: () => refresh(session),
      hold(onDead) {
        session.holders.add(onDead);
        return async () => {
          const held = session.holders.delete(onDead);
          const isLast = session.holders.size === 0 && session.busy === 0;
          if (held && isLast && !session.over) await end(session);
        };
      },
    };
  }
}

function keyOf({ tenant, issuer, subject, run }: Principal): string {
  return JSON.stringify([tenant, issuer, subject, run?.id ?? null]);
}

function unfit({ accessor, ttl }: Granted): string | null {
  if (accessor === "") return "vault gave a batch token, which cannot be revoked";
  if (ttl === 0 || ttl > LONGEST_TOKEN_S) return `vault gave a token of more than ${LONGEST_TOKEN_S} s`;
  return null;
}
