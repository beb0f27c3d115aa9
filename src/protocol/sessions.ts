import type { SharedStore } from "../domain.ts";
import type { Clock } from "../lib/clock.ts";
import { PortcullisError } from "../lib/errors.ts";
import type { JsonObject } from "../lib/json.ts";
import type { Log } from "../lib/log.ts";
import type { RequestId } from "../lib/rpc.ts";
import type { Seal } from "../lib/seal.ts";
import { createInFlight, type InFlight } from "./in-flight.ts";
import type { Replicas } from "./replicas.ts";
import { type Cap, createSessionCounts } from "./session-counts.ts";
import {
  openSession,
  type SessionData,
  type SessionStart,
  sealSession,
  sessionKey,
} from "./session-value.ts";

export { createInFlight } from "./in-flight.ts";
export type { SessionData, SessionStart } from "./session-value.ts";

/** As it was when it was got: a change makes another one of the same id and the same requests. */
export interface ClientSession extends SessionData {
  readonly id: string;
  /** Requests of this session that are being answered here. */
  readonly requests: InFlight;
}

export type SessionChange = Partial<Pick<SessionData, "logLevel" | "subscriptions">>;

/** Why a session ended here. closed: this replica stops, the session may go on at another. */
export type SessionEnd = "deleted" | "idle" | "closed";

/** Legacy client sessions, the same at every replica. All reject with `store_unavailable`. */
export interface Sessions {
  /** @throws PortcullisError `too_many_sessions` */
  create(start: SessionStart): Promise<ClientSession>;
  /** The session, and another lease of life for it. Another owner's or server's session is as unknown as none. */
  get(id: string, owner: string, server: string): Promise<ClientSession | undefined>;
  /**
   * Changes a session that is this caller's, whatever other replicas change meanwhile: `change` may be called again.
   * undefined: it has ended.
   *
   * @throws PortcullisError `too_many_subscriptions`
   */
  update(id: string, change: (session: SessionData) => SessionChange): Promise<ClientSession | undefined>;
  /** false: there is no such session. */
  delete(id: string, owner: string, server: string): Promise<boolean>;
  /** Ends those known at this replica whose owner matches. */
  deleteWhere(matches: (owner: string) => boolean): Promise<void>;
  /** Whether this owner has one that is known at this replica. */
  has(owner: string): boolean;
  /** Cancels a request of the session, at whichever replica it is being answered. */
  cancel(session: ClientSession, request: RequestId): void;
  /** Calls back with the session whenever it changed at any replica, with undefined once it ended. Returns how to stop. */
  watch(id: string, listener: (session: ClientSession | undefined) => void): () => void;
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
  /** Who shares a number of sessions with this owner. */
  capsOf(owner: string): readonly Cap[];
  readonly clock: Clock;
  readonly log: Log;
  /** Unguessable. */
  newId(): string;
  /** What the session held at this replica can go. */
  onEnd(session: ClientSession, why: SessionEnd): void;
}

interface Entry {
  session: ClientSession;
  /** As it lies in the store: unchanged text, unchanged session. */
  sealed: string;
  readonly key: string;
  /** Milliseconds since the epoch: last use here, and last time that it was counted anew. */
  seen: number;
  counted: number;
}

const MAX_SUBSCRIPTIONS = 100;
/** Changes of one session at a time, by other replicas, that one change gives way to. */
const ATTEMPTS = 20;
const MESSAGES = { ended: "session ended", changed: "session changed", cancel: "session cancel" };

export function createSessions(options: SessionsOptions): Sessions {
  const { store, replicas, seal, clock, log, newId, onEnd } = options;
  const idle = options.limits.session_idle_ms;
  const counts = createSessionCounts(store, options.capsOf, idle * 1.5);
  const entries = new Map<string, Entry>();
  const watchers = new Map<string, Set<(session: ClientSession | undefined) => void>>();

  function notify(id: string, session: ClientSession | undefined): void {
    for (const listener of watchers.get(id) ?? []) listener(session);
  }

  function end({ session }: Entry, why: SessionEnd): void {
    if (!entries.delete(session.id)) return;
    session.requests.abortAll();
    if (why !== "closed") notify(session.id, undefined);
    watchers.delete(session.id);
    onEnd(session, why);
  }

  /** What lies in the store as a session; undefined where it is none of ours. */
  function admit(id: string, key: string, sealed: string): Entry | undefined {
    const known = entries.get(id);
    if (known?.sealed === sealed) return known;
    const data = openSession(seal, id, sealed, clock());
    if (data === undefined) return undefined;
    const session = { ...data, id, requests: known?.session.requests ?? createInFlight() };
    const entry = { session, sealed, key, seen: clock(), counted: known?.counted ?? 0 };
    entries.set(id, entry);
    if (known !== undefined) notify(id, session);
    return entry;
  }

  function use(entry: Entry): void {
    entry.seen = clock();
    if (entry.seen - entry.counted < idle / 4) return;
    entry.counted = entry.seen;
    counts.keep(entry.key, entry.session.owner).catch(unheard);
  }

  function unheard(err: unknown): void {
    log.debug({ err }, "the session store did not answer");
  }

  function leave({ key, session }: Pick<Entry, "key" | "session">): Promise<void> {
    return counts.leave(key, session.owner);
  }

  /** Ends what is idle. An answer under way is use, here; another replica's use shows in the store. */
  async function sweep(): Promise<void> {
    for (const entry of [...entries.values()]) {
      const unused = clock() - entry.seen;
      // Long before its life is over: an answer may take longer than a client may be silent.
      if (unused < idle / 3) continue;
      const busy = entry.session.requests.size > 0;
      if (!busy && unused < idle) continue;
      const sealed = busy ? await store.touch(entry.key, idle) : await store.get(entry.key);
      if (sealed === undefined) {
        end(entry, "idle");
        await leave(entry);
      } else if (busy) use(entry);
      else entry.seen = clock();
    }
  }

  async function refresh(id: string): Promise<void> {
    const entry = entries.get(id);
    const sealed = entry && (await store.get(entry.key));
    if (entry !== undefined && sealed !== undefined) admit(id, entry.key, sealed);
  }

  function tell(type: string, message: JsonObject): void {
    replicas.broadcast(type, message).catch((err: unknown) => log.warn({ err }, "replicas were not told"));
  }

  /** What another replica says of a session that is known here. */
  function hear(type: string, handler: (entry: Entry, message: JsonObject) => void): () => void {
    return replicas.onMessage(type, (message, from) => {
      const entry = typeof message.id === "string" ? entries.get(message.id) : undefined;
      if (from !== replicas.node && entry !== undefined) handler(entry, message);
    });
  }

  const deaf = [
    hear(MESSAGES.ended, (entry) => end(entry, "deleted")),
    hear(MESSAGES.changed, ({ session }) => void refresh(session.id).catch(unheard)),
    hear(MESSAGES.cancel, ({ session }, { request }) => {
      if (typeof request === "string" || typeof request === "number") session.requests.cancel(request);
    }),
  ];
  const sweeping = setInterval(() => void sweep().catch(unheard), Math.max(20, idle / 10)).unref();

  const sessions: Sessions = {
    async create(start) {
      const id = newId();
      const key = keyOf(id);
      // Idle sessions only make way when somebody needs their place.
      const count = () => counts.join(key, start.owner);
      const counted = (await count()) || (await sweep().then(count));
      if (!counted) throw new PortcullisError("too_many_sessions");
      const sealed = sealSession(seal, id, { ...start, logLevel: null, subscriptions: [] }, clock());
      await store.add(key, sealed, idle);
      const entry = admit(id, key, sealed);
      if (entry === undefined)
        throw new PortcullisError("internal", { reason: "a session cannot be opened" });
      entry.counted = entry.seen;
      return entry.session;
    },
    async get(id, owner, server) {
      const local = entries.get(id);
      if (local !== undefined && !belongs(local, owner, server)) return undefined;
      const key = local?.key ?? keyOf(id);
      const sealed = await store.touch(key, idle);
      if (sealed === undefined) {
        if (local !== undefined) {
          end(local, "idle");
          leave(local).catch(unheard);
        }
        return undefined;
      }
      const entry = admit(id, key, sealed);
      if (entry === undefined || !belongs(entry, owner, server)) return undefined;
      use(entry);
      return entry.session;
    },
    async update(id, change) {
      const key = keyOf(id);
      for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
        const before = await store.get(key);
        const entry = before === undefined ? undefined : admit(id, key, before);
        if (before === undefined || entry === undefined) return undefined;
        const data = { ...entry.session, ...change(entry.session) };
        if (data.subscriptions.length > MAX_SUBSCRIPTIONS)
          throw new PortcullisError("too_many_subscriptions");
        const sealed = sealSession(seal, id, data, clock());
        if (!(await store.replace(key, before, sealed, idle))) continue;
        tell(MESSAGES.changed, { id });
        return admit(id, key, sealed)?.session;
      }
      throw new PortcullisError("store_unavailable", { reason: "a session is changed by too many at once" });
    },
    async delete(id, owner, server) {
      const session = await sessions.get(id, owner, server);
      if (session === undefined) return false;
      const key = keyOf(id);
      const deleted = await store.delete(key);
      const entry = entries.get(id);
      if (entry !== undefined) end(entry, "deleted");
      if (deleted) tell(MESSAGES.ended, { id });
      await leave({ key, session });
      return deleted;
    },
    async deleteWhere(matches) {
      const found = [...entries.values()].filter(({ session }) => matches(session.owner));
      // Whether the store can be told or not: what is held here must go.
      for (const entry of found) end(entry, "deleted");
      await Promise.all(
        found.map(async (entry) => {
          if (await store.delete(entry.key)) tell(MESSAGES.ended, { id: entry.session.id });
          await leave(entry);
        }),
      );
    },
    has: (owner) => [...entries.values()].some(({ session }) => session.owner === owner),
    cancel({ id, requests }, request) {
      if (!requests.cancel(request)) tell(MESSAGES.cancel, { id, request });
    },
    watch(id, listener) {
      const listeners = watchers.get(id) ?? new Set();
      watchers.set(id, listeners.add(listener));
      return () => {
        listeners.delete(listener);
        if (listeners.size === 0 && watchers.get(id) === listeners) watchers.delete(id);
      };
    },
    get size() {
      return entries.size;
    },
    async close() {
      clearInterval(sweeping);
      for (const stop of deaf) stop();
      for (const entry of [...entries.values()]) end(entry, "closed");
    },
  };
  return sessions;
}

function belongs({ session }: Entry, owner: string, server: string): boolean {
  return session.owner === owner && session.server === server;
}

function keyOf(id: string): string {
  return `session ${sessionKey(id)}`;
}
