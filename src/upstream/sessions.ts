import type { UpstreamIdentity } from "../domain.ts";
import type { Clock } from "../lib/clock.ts";
import { PortcullisError } from "../lib/errors.ts";
import { Transients } from "../lib/transients.ts";
import type { LegacyCall } from "./legacy-call.ts";
import type { Scope } from "./scope.ts";
import type { SharedSessions } from "./shared-sessions.ts";

/** A legacy session with an upstream. */
export interface Session {
  /** `Mcp-Session-Id`, or "" for a server that keeps none. */
  readonly id: string;
  readonly identity: UpstreamIdentity;
  /** Headers of every request of this session, flat name-value pairs. */
  readonly headers: readonly string[];
  /** What it is asked now, by id. */
  readonly pending: Transients<LegacyCall>;
  /** Aborts when the session is over. */
  readonly over: AbortController;
  /** The least severe log message that it was told to send; undefined: it was told nothing. */
  logLevel: string | undefined;
}

/**
 * A session as its server opened it.
 *
 * @throws PortcullisError `upstream_protocol` for an id that no header may have.
 */
export function createSession(id: string, identity: UpstreamIdentity, content: readonly string[]): Session {
  if (!/^[\x21-\x7e]{0,1024}$/.test(id))
    throw new PortcullisError("upstream_protocol", { reason: "bad session id" });
  const headers = [...content, "mcp-protocol-version", identity.protocolVersion];
  return {
    id,
    identity,
    headers: id === "" ? headers : [...headers, "mcp-session-id", id],
    pending: new Transients(),
    over: new AbortController(),
    logLevel: undefined,
  };
}

interface Held {
  readonly session: Promise<Session>;
  ready: Session | undefined;
  used: number;
  users: number;
}

type Open = () => Promise<Session>;

export interface Sessions {
  /** Runs `use` with the owner's session, opening it (once for all who wait) if there is none. It is not ended before. */
  with<T>(owner: string, scope: Scope, open: Open, use: (session: Session) => Promise<T>): Promise<T>;
  /** The owner's session, where there is one. */
  known(owner: string): Promise<Session | undefined>;
  /** Drops a session that its server no longer knows, unless another took its place. */
  forget(owner: string, session: Session): Promise<void>;
  release(owner: string): Promise<void>;
  close(): Promise<void>;
}

export interface SessionsOptions {
  readonly max: number;
  readonly idleMs: number;
  readonly clock: Clock;
  /** What other replicas know of them; undefined: there are none. */
  readonly shared: SharedSessions | undefined;
  /** Tells the upstream that a session is over. */
  end(session: Session): Promise<void>;
}

/** One session for each owner: two owners never share one. */
export function createSessions({ max, idleMs, clock, shared, end }: SessionsOptions): Sessions {
  const held = new Map<string, Held>();
  const sweepMs = Math.max(1000, idleMs / 4);
  const sweep = setInterval(endIdle, sweepMs).unref();
  // Longer than a shared entry lives without use: if it is there still, another replica goes on with the session.
  const mostIdleMs = shared === undefined ? idleMs : idleMs + 2 * sweepMs;

  /** Lets go of a session, and ends it unless another replica goes on with it. */
  async function drop(owner: string, one: Held): Promise<void> {
    const session = await put(owner, one);
    if (session !== undefined && !(await shared?.holds(owner, session))) await end(session);
  }

  /** Out of what is held; undefined where the server would not know what to end. */
  async function put(owner: string, one: Held): Promise<Session | undefined> {
    if (held.get(owner) === one) held.delete(owner);
    const session = await one.session.catch(() => undefined);
    session?.over.abort();
    return session?.id === "" ? undefined : session;
  }

  function endIdle(): void {
    for (const [owner, one] of held) {
      const idle = clock() - one.used;
      if (one.users > 0 || idle <= sweepMs) shared?.keep(owner);
      else if (idle > mostIdleMs) drop(owner, one).catch(() => {});
    }
  }

  function makeRoom(): void {
    if (held.size < max) return;
    const [idlest] = [...held].filter(([, { users }]) => users === 0).sort(([, a], [, b]) => a.used - b.used);
    if (idlest === undefined)
      throw new PortcullisError("overloaded", { reason: `all ${max} upstream sessions are in use` });
    drop(...idlest).catch(() => {});
  }

  function opened(owner: string, open: Open): Held {
    makeRoom();
    const session = shared === undefined ? open() : shared.find(owner, open);
    const one: Held = { session, ready: undefined, used: clock(), users: 0 };
    held.set(owner, one);
    session.then(
      (ready) => {
        one.ready = ready;
      },
      () => {
        if (held.get(owner) === one) held.delete(owner);
      },
    );
    return one;
  }

  return {
    async with(owner, scope, open, use) {
      const one = held.get(owner) ?? opened(owner, open);
      one.users += 1;
      try {
        return await use(one.ready ?? (await scope.race(one.session)));
      } finally {
        one.users -= 1;
        one.used = clock();
      }
    },
    known: async (owner) => held.get(owner)?.ready ?? shared?.known(owner),
    async forget(owner, session) {
      if (held.get(owner)?.ready === session) held.delete(owner);
      session.over.abort();
      await shared?.lose(owner, session);
    },
    async release(owner) {
      const one = held.get(owner);
      const own = one === undefined ? undefined : await put(owner, one);
      const other = await shared?.take(owner);
      if (own !== undefined) await end(own);
      if (other !== undefined && other.id !== own?.id) await end(other);
    },
    async close() {
      clearInterval(sweep);
      await Promise.allSettled([...held].map(([owner, one]) => drop(owner, one)));
    },
  };
}
