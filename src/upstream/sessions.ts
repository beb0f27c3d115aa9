import type { UpstreamIdentity } from "../domain.ts";
import type { Clock } from "../lib/clock.ts";
import { PortcullisError } from "../lib/errors.ts";
import type { Scope } from "./scope.ts";

/** A legacy session with an upstream. */
export interface Session {
  /** `Mcp-Session-Id`, or "" for a server that keeps none. */
  readonly id: string;
  readonly identity: UpstreamIdentity;
  /** Headers of every request of this session, flat name-value pairs. */
  readonly headers: readonly string[];
}

interface Held {
  readonly session: Promise<Session>;
  ready: Session | undefined;
  used: number;
  inFlight: number;
}

export interface Sessions {
  /** Runs `use` with the owner's session, opening it (once for all who wait) if there is none. */
  with<T>(
    owner: string,
    scope: Scope,
    open: () => Promise<Session>,
    use: (session: Session) => Promise<T>,
  ): Promise<T>;
  /** Drops a session that its server no longer knows, unless another took its place. */
  forget(owner: string, session: Session): void;
  release(owner: string): Promise<void>;
  close(): Promise<void>;
}

export interface SessionsOptions {
  readonly max: number;
  readonly idleMs: number;
  readonly clock: Clock;
  /** Tells the upstream that a session is over. */
  end(session: Session): Promise<void>;
}

/** One session for each owner, least recently used first: two owners never share one. */
export function createSessions({ max, idleMs, clock, end }: SessionsOptions): Sessions {
  const held = new Map<string, Held>();
  const sweep = setInterval(endIdle, Math.max(1000, idleMs / 4)).unref();

  async function drop(owner: string, one: Held): Promise<void> {
    if (held.get(owner) === one) held.delete(owner);
    const session = await one.session.catch(() => undefined);
    if (session !== undefined && session.id !== "") await end(session);
  }

  function endIdle(): void {
    for (const [owner, one] of held) {
      if (one.inFlight === 0 && clock() - one.used > idleMs) drop(owner, one).catch(() => {});
    }
  }

  function makeRoom(): void {
    if (held.size < max) return;
    for (const [owner, one] of held) {
      if (one.inFlight > 0) continue;
      drop(owner, one).catch(() => {});
      return;
    }
    throw new PortcullisError("overloaded", { reason: `all ${max} upstream sessions are in use` });
  }

  function opened(owner: string, open: () => Promise<Session>): Held {
    makeRoom();
    const one: Held = { session: open(), ready: undefined, used: clock(), inFlight: 0 };
    one.session.then(
      (session) => {
        one.ready = session;
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
      held.delete(owner);
      held.set(owner, one);
      one.used = clock();
      one.inFlight += 1;
      try {
        return await use(one.ready ?? (await scope.race(one.session)));
      } finally {
        one.inFlight -= 1;
        one.used = clock();
      }
    },
    forget(owner, session) {
      if (held.get(owner)?.ready === session) held.delete(owner);
    },
    async release(owner) {
      const one = held.get(owner);
      if (one !== undefined) await drop(owner, one);
    },
    async close() {
      clearInterval(sweep);
      await Promise.allSettled([...held].map(([owner, one]) => drop(owner, one)));
    },
  };
}
