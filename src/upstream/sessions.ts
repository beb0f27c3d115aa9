import type { Holder, UpstreamRequest } from "../domain.ts";
import type { Clock } from "../lib/clock.ts";
import { PortcullisError } from "../lib/errors.ts";
import { GATEWAY_SESSION } from "../lib/gateway-session.ts";
import { type Crowd, NOBODY, type Rule } from "./crowd.ts";
import { type Access, NOTHING } from "./http-call.ts";
import type { Scope } from "./scope.ts";
import type { Session } from "./session.ts";
import type { SharedSessions } from "./shared-sessions.ts";

interface Held {
  readonly session: Promise<Session>;
  /** Among whose it is counted; null: the gateway's own, which ends for nobody. */
  readonly holder: Holder | null;
  ready: Session | undefined;
  used: number;
  users: number;
  /** What it was last used with: a server that wants a credential wants it for the end as well. */
  credential: Asker["credential"];
  lease: Asker["lease"];
}

type Open = () => Promise<Session>;
/** Whose session it is, and among whose it is counted. */
type Asker = Pick<UpstreamRequest, "sessionKey" | "who" | "credential" | "lease">;

export interface Sessions {
  /** Runs `use` with the key's session, opening it (once for all who wait) if there is none. It is not ended before. */
  with<T>(asker: Asker, scope: Scope, open: Open, use: (session: Session) => Promise<T>): Promise<T>;
  /** The key's session, where there is one. */
  known(sessionKey: string): Promise<Session | undefined>;
  /** Drops a session that its server no longer knows, unless another took its place. */
  forget(sessionKey: string, session: Session): Promise<void>;
  release(sessionKey: string): Promise<void>;
  releaseWhere(matches: (holder: Holder) => boolean): Promise<void>;
  close(): Promise<void>;
}

export interface SessionsOptions {
  readonly crowd: Crowd;
  readonly idleMs: number;
  readonly clock: Clock;
  /** What other replicas know of them; undefined: there are none. */
  readonly shared: SharedSessions | undefined;
  /** Tells the upstream that a session is over. */
  end(session: Session, access: Access): Promise<void>;
}

/** One session for each key: two keys never share one. */
export function createSessions({ crowd, idleMs, clock, shared, end }: SessionsOptions): Sessions {
  const held = new Map<string, Held>();
  const sweepMs = Math.max(1000, idleMs / 4);
  const sweep = setInterval(endIdle, sweepMs).unref();
  // Longer than another replica is known to have it without use.
  const mostIdleMs = shared === undefined ? idleMs : idleMs + 2 * sweepMs;

  /** Lets go of a session, and ends it unless another replica has it as well. */
  async function drop(sessionKey: string, one: Held): Promise<void> {
    const session = await takeOut(sessionKey, one);
    if (session === undefined) return;
    if (shared === undefined || (await shared.leave(sessionKey, session))) await end(session, one);
  }

  /** Ends a session, unless other replicas may go on with it. */
  async function pass(sessionKey: string, one: Held): Promise<void> {
    const session = await takeOut(sessionKey, one);
    if (session !== undefined && !(await shared?.pass(sessionKey, session))) await end(session, one);
  }

  /** Out of what is held; undefined where the server would not know what to end. */
  async function takeOut(sessionKey: string, one: Held): Promise<Session | undefined> {
    remove(sessionKey, one);
    const session = await one.session.catch(() => undefined);
    session?.over.abort();
    return session?.id === "" ? undefined : session;
  }

  function remove(sessionKey: string, one: Held): void {
    if (held.get(sessionKey) !== one) return;
    held.delete(sessionKey);
    if (one.holder !== null) crowd.leave(one.holder);
  }

  function endIdle(): void {
    for (const [sessionKey, one] of held) {
      const idle = clock() - one.used;
      if (one.users > 0 || idle <= sweepMs) shared?.keep(sessionKey);
      else if (idle > mostIdleMs) drop(sessionKey, one).catch(() => {});
    }
  }

  function makeRoom(holder: Holder): void {
    for (let rule = crowd.ruleFor(holder); rule !== null; rule = crowd.ruleFor(holder)) {
      const idlest = idlestOf(rule);
      if (idlest === undefined) throw new PortcullisError("overloaded", { reason: rule.reason });
      drop(...idlest).catch(() => {});
    }
  }

  function idlestOf({ mayGo }: Rule): [string, Held] | undefined {
    let idlest: [string, Held] | undefined;
    for (const [sessionKey, one] of held) {
      if (one.users > 0 || one.holder === null || !mayGo(one.holder)) continue;
      if (idlest === undefined || one.used < idlest[1].used) idlest = [sessionKey, one];
    }
    return idlest;
  }

  function opened({ sessionKey, who, credential, lease }: Asker, scope: Scope, open: Open): Held {
    // Whoever ended it may have released the key as well.
    if (scope.error !== undefined) throw scope.error;
    const holder = sessionKey === GATEWAY_SESSION ? null : (who ?? NOBODY);
    if (holder !== null) makeRoom(holder);
    const session = shared === undefined ? open() : shared.find(sessionKey, open);
    const one: Held = { session, holder, ready: undefined, used: clock(), users: 0, credential, lease };
    held.set(sessionKey, one);
    if (holder !== null) crowd.enter(holder);
    session.then(
      (ready) => {
        one.ready = ready;
      },
      () => remove(sessionKey, one),
    );
    return one;
  }

  async function release(sessionKey: string): Promise<void> {
    const one = held.get(sessionKey);
    const own = one === undefined ? undefined : await takeOut(sessionKey, one);
    const other = shared?.take(sessionKey);
    // The store may be long in answering.
    await Promise.all([
      own && one && end(own, one),
      other?.then((taken) =>
        taken === undefined || taken.id === own?.id ? undefined : end(taken, one ?? NOTHING),
      ),
    ]);
  }

  return {
    async with(asker, scope, open, use) {
      const one = held.get(asker.sessionKey) ?? opened(asker, scope, open);
      one.users += 1;
      one.credential = asker.credential;
      one.lease = asker.lease;
      try {
        return await use(one.ready ?? (await scope.race(one.session)));
      } finally {
        one.users -= 1;
        one.used = clock();
      }
    },
    known: async (sessionKey) => held.get(sessionKey)?.ready ?? shared?.known(sessionKey),
    async forget(sessionKey, session) {
      session.over.abort();
      const one = held.get(sessionKey);
      if (one?.ready === session) {
        remove(sessionKey, one);
        await shared?.leave(sessionKey, session);
      }
      await shared?.lose(sessionKey, session);
    },
    release,
    async releaseWhere(matches) {
      const found = [...held].filter(([, { holder }]) => holder !== null && matches(holder));
      await Promise.all(found.map(([sessionKey]) => release(sessionKey)));
    },
    async close() {
      clearInterval(sweep);
      await Promise.allSettled([...held].map(([sessionKey, one]) => pass(sessionKey, one)));
    },
  };
}
