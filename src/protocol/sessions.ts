import type { Clock } from "../lib/clock.ts";
import { PortcullisError } from "../lib/errors.ts";
import type { JsonObject } from "../lib/json.ts";
import type { RequestId } from "../lib/rpc.ts";

/** What a legacy client said at `initialize`, and who it was. A session is no authentication: each request is. */
export interface SessionStart {
  /** Identity of the principal that opened it: no other may use it. */
  readonly owner: string;
  /** The virtual server. */
  readonly server: string;
  /** The negotiated revision. */
  readonly version: string;
  readonly clientInfo: JsonObject | null;
  readonly clientCapabilities: JsonObject | null;
}

export interface ClientSession extends SessionStart {
  readonly id: string;
  /** Requests of this session that are being answered. */
  readonly requests: InFlight;
}

/** Why a session ended. */
export type SessionEnd = "deleted" | "idle" | "closed";

/** Legacy client sessions. Promises, so that a store shared by several replicas can stand here too. */
export interface Sessions {
  /** @throws PortcullisError `too_many_sessions` */
  create(start: SessionStart): Promise<ClientSession>;
  /** The session, and another lease of life for it. Another owner's or server's session is as unknown as none. */
  get(id: string, owner: string, server: string): Promise<ClientSession | undefined>;
  /** false: there is no such session. */
  delete(id: string, owner: string, server: string): Promise<boolean>;
  readonly size: number;
  /** Ends them all. */
  close(): Promise<void>;
}

export interface SessionsOptions {
  readonly limits: {
    readonly sessions: number;
    readonly sessions_per_owner: number;
    readonly session_idle_ms: number;
  };
  readonly clock: Clock;
  /** Unguessable. */
  newId(): string;
  /** What the session held can go. */
  onEnd(session: ClientSession, why: SessionEnd): void;
}

interface Entry {
  readonly session: ClientSession;
  /** Milliseconds since the epoch. */
  seen: number;
}

/** Sessions in this process's memory. */
export function createSessions({ limits, clock, newId, onEnd }: SessionsOptions): Sessions {
  // Least recently used first, so that the idle ones stand at the front.
  const entries = new Map<string, Entry>();
  const perOwner = new Map<string, number>();

  function end(entry: Entry, why: SessionEnd): void {
    const { session } = entry;
    entries.delete(session.id);
    const left = (perOwner.get(session.owner) ?? 1) - 1;
    if (left === 0) perOwner.delete(session.owner);
    else perOwner.set(session.owner, left);
    session.requests.abortAll();
    onEnd(session, why);
  }

  function touch(entry: Entry): void {
    entry.seen = clock();
    entries.delete(entry.session.id);
    entries.set(entry.session.id, entry);
  }

  function sweep(): void {
    const oldest = clock() - limits.session_idle_ms;
    for (const entry of entries.values()) {
      if (entry.seen > oldest) return;
      // An answer under way is use.
      if (entry.session.requests.size > 0) touch(entry);
      else end(entry, "idle");
    }
  }

  function find(id: string, owner: string, server: string): Entry | undefined {
    const entry = entries.get(id);
    return entry?.session.owner === owner && entry.session.server === server ? entry : undefined;
  }

  const sweeping = setInterval(sweep, Math.max(1000, limits.session_idle_ms / 10)).unref();

  return {
    async create(start) {
      sweep();
      const owned = perOwner.get(start.owner) ?? 0;
      if (entries.size >= limits.sessions || owned >= limits.sessions_per_owner) {
        throw new PortcullisError("too_many_sessions");
      }
      const session: ClientSession = { ...start, id: newId(), requests: createInFlight() };
      entries.set(session.id, { session, seen: clock() });
      perOwner.set(start.owner, owned + 1);
      return session;
    },
    async get(id, owner, server) {
      sweep();
      const entry = find(id, owner, server);
      if (entry !== undefined) touch(entry);
      return entry?.session;
    },
    async delete(id, owner, server) {
      const entry = find(id, owner, server);
      if (entry !== undefined) end(entry, "deleted");
      return entry !== undefined;
    },
    get size() {
      return entries.size;
    },
    async close() {
      clearInterval(sweeping);
      for (const entry of [...entries.values()]) end(entry, "closed");
    },
  };
}

/** The requests of one client that are being answered, each with how to cancel it. */
export interface InFlight {
  readonly size: number;
  /** @throws PortcullisError `id_in_use`: two requests of one id could be given each other's answer. */
  begin(id: RequestId, abort: () => void): void;
  end(id: RequestId): void;
  /** false: there is no such request, or no longer. */
  cancel(id: RequestId): boolean;
  abortAll(): void;
}

export function createInFlight(): InFlight {
  const aborts = new Map<RequestId, () => void>();
  return {
    get size() {
      return aborts.size;
    },
    begin(id, abort) {
      if (aborts.has(id)) throw new PortcullisError("id_in_use");
      aborts.set(id, abort);
    },
    end(id) {
      aborts.delete(id);
    },
    cancel(id) {
      const abort = aborts.get(id);
      abort?.();
      return abort !== undefined;
    },
    abortAll() {
      for (const abort of aborts.values()) abort();
    },
  };
}
