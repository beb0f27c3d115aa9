import type { Holder, UpstreamRequest } from "../domain.ts";
import type { Clock } from "../lib/clock.ts";
import { PortcullisError } from "../lib/errors.ts";
import { GATEWAY_OWNER } from "../lib/owner.ts";
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
type Asker = Pick<UpstreamRequest, "owner" | "who" | "credential" | "lease">;

export interface Sessions {
  /** Runs `use` with the owner's session, opening it (once for all who wait) if there is none. It is not ended before. */
  with<T>(asker: Asker, scope: Scope, open: Open, use: (session: Session) => Promise<T>): Promise<T>;
  /** The owner's session, where there is one. */
  known(owner: string): Promise<Session | undefined>;
  /** Drops a session that its server no longer knows, unless another took its place. */
  forget(owner: string, session: Session): Promise<void>;
  release(owner: string): Promise<void>;
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

/** One session for each owner: two owners never share one. */
export function createSessions({ crowd, idleMs, clock, shared, end }: SessionsOptions): Sessions {
  const held = new Map<string, Held>();
  const sweepMs = Math.max(1000, idleMs / 4);
  const sweep = setInterval(endIdle, sweepMs).unref();
  // Longer than another replica is known to have it without use.
  const mostIdleMs = shared === undefined ? idleMs : idleMs + 2 * sweepMs;

  /** Lets go of a session, and ends it unless another replica has it as well. */
  async function drop(owner: string, one: Held): Promise<void> {
    const session = await takeOut(owner, one);
    if (session === undefined) return;
    if (shared === undefined || (await shared.leave(owner, session))) await end(session, one);
  }

  /** Ends a session, unless other replicas may go on with it. */
  async function pass(owner: string, one: Held): Promise<void> {
    const session = await takeOut(owner, one);
    if (session !== undefined && !(await shared?.pass(owner, session))) await end(session, one);
  }

  /** Out of what is held; undefined where the server would not know what to end. */
  async function takeOut(owner: string, one: Held): Promise<Session | undefined> {
    remove(owner, one);
    const session = await one.session.catch(() => undefined);
    session?.over.abort();
    return session?.id === "" ? undefined : session;
  }

  function remove(owner: string, one: Held): void {
    if (held.get(owner) !== one) return;
    held.delete(owner);
    if (one.holder !== null) crowd.leave(one.holder);
  }

  function endIdle(): void {
    for (const [owner, one] of held) {
      const idle = clock() - one.used;
      if (one.users > 0 || idle <= sweepMs) shared?.keep(owner);
      else if (idle > mostIdleMs) drop(owner, one).catch(() => {});
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
    for (const [owner, one] of held) {
      if (one.users > 0 || one.holder === null || !mayGo(one.holder)) continue;
      if (idlest === undefined || one.used < idlest[1].used) idlest = [owner, one];
    }
    return idlest;
  }

  function opened({ owner, who, credential, lease }: Asker, scope: Scope, open: Open): Held {
    // Whoever ended it may have released the owner's sessions as well.
    if (scope.error !== undefined) throw scope.error;
    const holder = owner === GATEWAY_OWNER ? null : (who ?? NOBODY);
    if (holder !== null) makeRoom(holder);
    const session = shared === undefined ? open() : shared.find(owner, open);
    const one: Held = { session, holder, ready: undefined, used: clock(), users: 0, credential, lease };
    held.set(owner, one);
    if (holder !== null) crowd.enter(holder);
    session.then(
      (ready) => {
        one.ready = ready;
      },
      () => remove(owner, one),
    );
    return one;
  }

  async function release(owner: string): Promise<void> {
    const one = held.get(owner);
    const own = one === undefined ? undefined : await takeOut(owner, one);
    const other = shared?.take(owner);
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
      const one = held.get(asker.owner) ?? opened(asker, scope, open);
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
    known: async (owner) => held.get(owner)?.ready ?? shared?.known(owner),
    async forget(owner, session) {
      const one = held.get(owner);
      if (one?.ready === session) remove(owner, one);
      session.over.abort();
      await shared?.lose(owner, session);
    },
    release,
    async releaseWhere(matches) {
      const found = [...held].filter(([, { holder }]) => holder !== null && matches(holder));
      await Promise.all(found.map(([owner]) => release(owner)));
    },
    async close() {
      clearInterval(sweep);
      await Promise.allSettled([...held].map(([owner, one]) => pass(owner, one)));
    },
  };
}
