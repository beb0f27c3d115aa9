import type { SharedStore } from "../domain.ts";
import type { Clock } from "../lib/clock.ts";
import { PortcullisError } from "../lib/errors.ts";
import type { Log } from "../lib/log.ts";
import type { RequestId } from "../lib/rpc.ts";
import type { Seal } from "../lib/seal.ts";
import { createEarlyCancellations } from "./early-cancellations.ts";
import {
  type ClientSession,
  createKnownSessions,
  type KnownSession,
  type SessionEnd,
  type Watcher,
} from "./known-sessions.ts";
import type { Replicas } from "./replicas.ts";
import { type Cap, createSessionCounts } from "./session-counts.ts";
import { openSessionNews } from "./session-news.ts";
import { type SessionData, type SessionStart, sealSession, sessionKey } from "./session-value.ts";

export { createInFlight } from "./in-flight.ts";
export type { ClientSession, SessionEnd } from "./known-sessions.ts";
export type { SessionData, SessionStart } from "./session-value.ts";

export type SessionChange = Partial<Pick<SessionData, "logLevel" | "subscriptions">>;

/** Legacy client sessions, the same at every replica. All reject with `store_unavailable`. */
export interface Sessions {
  /** @throws PortcullisError `too_many_sessions` */
  create(start: SessionStart): Promise<ClientSession>;
  /** The session, and another lease of life for it. Another principal's or server's session is as unknown as none. */
  get(id: string, principalKey: string, server: string): Promise<ClientSession | undefined>;
  /**
   * Changes a session that is this caller's, whatever other replicas change meanwhile: `change` may be called again.
   * undefined: it has ended.
   *
   * @throws PortcullisError `too_many_subscriptions`
   */
  update(id: string, change: (session: SessionData) => SessionChange): Promise<ClientSession | undefined>;
  /** false: there is no such session. */
  delete(id: string, principalKey: string, server: string): Promise<boolean>;
  /** Ends those known at this replica whose principal matches. */
  deleteWhere(matches: (principalKey: string) => boolean): Promise<void>;
  /** Whether this principal has one that is known at this replica. */
  has(principalKey: string): boolean;
  /** Cancels a request of the session, at whichever replica it is being answered or arrives next. */
  cancel(session: ClientSession, request: RequestId): void;
  /** Calls back with the session whenever it changed at any replica, with undefined once it ended. Returns how to stop. */
  watch(id: string, watcher: Watcher): () => void;
  /** Known at this replica. */
  readonly size: number;
  /** Lets go of them all; where the store is shared they live on. */
  close(): Promise<void>;
}

export interface SessionsOptions {
  readonly store: SharedStore;
  readonly replicas: Pick<Replicas, "node" | "broadcast" | "onMessage">;
  readonly seal: Seal;
  readonly limits: { readonly session_idle_ms: number };
  /** Who shares a number of sessions with this principal. */
  capsOf(principalKey: string): readonly Cap[];
  readonly clock: Clock;
  readonly log: Log;
  /** Unguessable. */
  newId(): string;
  /** What the session held at this replica can go. */
  onEnd(session: ClientSession, why: SessionEnd): void;
}

const MAX_SUBSCRIPTIONS = 100;
/** Changes of one session at a time, by other replicas, that one change gives way to. */
const ATTEMPTS = 20;

export function createSessions(options: SessionsOptions): Sessions {
  const { store, seal, clock, log, newId } = options;
  const idle = options.limits.session_idle_ms;
  const counts = createSessionCounts(store, options.capsOf, idle * 1.5);
  const early = createEarlyCancellations(clock);
  const known = createKnownSessions({ seal, clock, isCancelled: early.take, onEnd: options.onEnd });
  const news = openSessionNews(options.replicas, log, {
    ended: endHere,
    changed: (id) => void refresh(id).catch(unheard),
    cancel: cancelHere,
  });
  const sweeping = setInterval(() => void sweep().catch(unheard), Math.max(20, idle / 10)).unref();

  function unheard(err: unknown): void {
    log.debug({ err }, "the session store did not answer");
  }

  function endHere(id: string): void {
    const found = known.find(id);
    if (found !== undefined) known.end(found, "deleted");
  }

  /** Of a session that is not known here, too: its first request here may be on its way. */
  function cancelHere(id: string, request: RequestId): boolean {
    const isDone = known.find(id)?.session.requests.cancel(request) === true;
    if (!isDone) early.add(id, request);
    return isDone;
  }

  async function refresh(id: string): Promise<void> {
    const found = known.find(id);
    const sealed = found && (await store.get(found.key));
    if (found !== undefined && sealed !== undefined) known.admit(id, found.key, sealed);
  }

  function use(found: KnownSession): void {
    found.seen = clock();
    if (found.seen - found.counted < idle / 4) return;
    found.counted = found.seen;
    counts.keep(found.key, found.session.principalKey).catch(unheard);
  }

  function leave({ key, session }: Pick<KnownSession, "key" | "session">): Promise<void> {
    return counts.leave(key, session.principalKey);
  }

  /** Ends what is idle. An answer under way is use, here; another replica's use shows in the store. */
  async function sweep(): Promise<void> {
    for (const found of known.all()) {
      const unused = clock() - found.seen;
      // Long before its life is over: an answer may take longer than a client may be silent.
      if (unused < idle / 3) continue;
      const busy = found.session.requests.size > 0;
      if (!busy && unused < idle) continue;
      const sealed = busy ? await store.touch(found.key, idle) : await store.get(found.key);
      if (sealed === undefined) {
        known.end(found, "idle");
        await leave(found);
      } else if (busy) use(found);
      else found.seen = clock();
    }
  }

  const sessions: Sessions = {
    async create(start) {
      const id = newId();
      const key = keyOf(id);
      // Idle sessions only make way when somebody needs their place.
      const count = () => counts.join(key, start.principalKey);
      const counted = (await count()) || (await sweep().then(count));
      if (!counted) throw new PortcullisError("too_many_sessions");
      const sealed = sealSession(seal, id, { ...start, logLevel: null, subscriptions: [] }, clock());
      await store.add(key, sealed, idle);
      const created = known.admit(id, key, sealed);
      if (created === undefined)
        throw new PortcullisError("internal", { reason: "a session cannot be opened" });
      created.counted = created.seen;
      return created.session;
    },
    async get(id, principalKey, server) {
      const local = known.find(id);
      if (local !== undefined && !belongs(local, principalKey, server)) return undefined;
      const key = local?.key ?? keyOf(id);
      const sealed = await store.touch(key, idle);
      if (sealed === undefined) {
        if (local !== undefined) {
          known.end(local, "idle");
          leave(local).catch(unheard);
        }
        return undefined;
      }
      const found = known.admit(id, key, sealed);
      if (found === undefined || !belongs(found, principalKey, server)) return undefined;
      use(found);
      return found.session;
    },
    async update(id, change) {
      const key = keyOf(id);
      for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
        const before = await store.get(key);
        const found = before === undefined ? undefined : known.admit(id, key, before);
        if (before === undefined || found === undefined) return undefined;
        const data = { ...found.session, ...change(found.session) };
        if (data.subscriptions.length > MAX_SUBSCRIPTIONS)
          throw new PortcullisError("too_many_subscriptions");
        const sealed = sealSession(seal, id, data, clock());
        if (!(await store.replace(key, before, sealed, idle))) continue;
        news.changed(id);
        return known.admit(id, key, sealed)?.session;
      }
      throw new PortcullisError("store_unavailable", { reason: "a session is changed by too many at once" });
    },
    async delete(id, principalKey, server) {
      const session = await sessions.get(id, principalKey, server);
      if (session === undefined) return false;
      const key = keyOf(id);
      const deleted = await store.delete(key);
      endHere(id);
      if (deleted) news.ended(id);
      await leave({ key, session });
      return deleted;
    },
    async deleteWhere(matches) {
      const matching = known.all().filter(({ session }) => matches(session.principalKey));
      // Whether the store can be told or not: what is held here must go.
      for (const found of matching) known.end(found, "deleted");
      await Promise.all(
        matching.map(async (found) => {
          if (await store.delete(found.key)) news.ended(found.session.id);
          await leave(found);
        }),
      );
    },
    has: (principalKey) => known.all().some(({ session }) => session.principalKey === principalKey),
    cancel({ id }, request) {
      if (!cancelHere(id, request)) news.cancel(id, request);
    },
    watch: known.watch,
    get size() {
      return known.size;
    },
    async close() {
      clearInterval(sweeping);
      news.close();
      for (const found of known.all()) known.end(found, "closed");
    },
  };
  return sessions;
}

function belongs({ session }: KnownSession, principalKey: string, server: string): boolean {
  return session.principalKey === principalKey && session.server === server;
}

function keyOf(id: string): string {
  return `session ${sessionKey(id)}`;
}
