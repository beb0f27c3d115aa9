import type { Clock } from "../lib/clock.ts";
import type { RequestId } from "../lib/rpc.ts";
import type { Seal } from "../lib/seal.ts";
import { createInFlight, type InFlight } from "./in-flight.ts";
import { openSession, type SessionData } from "./session-value.ts";

/** As it was when it was got: a change makes another one of the same id and the same requests. */
export interface ClientSession extends SessionData {
  readonly id: string;
  /** Requests of this session that are being answered here. */
  readonly requests: InFlight;
}

/** Why a session ended here. closed: this replica stops, the session may go on at another. */
export type SessionEnd = "deleted" | "idle" | "closed";

export interface KnownSession {
  readonly session: ClientSession;
  /** As it lies in the store: unchanged text, unchanged session. */
  readonly sealed: string;
  readonly key: string;
  /** Milliseconds since the epoch: last use here, and last time that it was counted anew. */
  seen: number;
  counted: number;
}

/** With the session whenever it changed. That it ended, its requests are told. */
export type Watcher = (session: ClientSession) => void;

/** The sessions that this replica knows, as each was last seen in the store, and who watches them. */
export interface KnownSessions {
  readonly size: number;
  find(id: string): KnownSession | undefined;
  /** Those of now: what ends meanwhile stays among them. */
  all(): readonly KnownSession[];
  /** Takes in what lies in the store; undefined where it is no session of ours. */
  admit(id: string, key: string, sealed: string): KnownSession | undefined;
  end(known: KnownSession, why: SessionEnd): void;
  /** Returns how to stop. */
  watch(id: string, watcher: Watcher): () => void;
}

export interface KnownSessionsOptions {
  readonly seal: Seal;
  readonly clock: Clock;
  /** Whether a request was cancelled before it came. */
  isCancelled(session: string, request: RequestId): boolean;
  onEnd(session: ClientSession, why: SessionEnd): void;
}

export function createKnownSessions(options: KnownSessionsOptions): KnownSessions {
  const { seal, clock, isCancelled, onEnd } = options;
  const known = new Map<string, KnownSession>();
  const watchers = new Map<string, Set<Watcher>>();

  return {
    get size() {
      return known.size;
    },
    find: (id) => known.get(id),
    all: () => [...known.values()],
    admit(id, key, sealed) {
      const before = known.get(id);
      if (before?.sealed === sealed) return before;
      const data = openSession(seal, id, sealed, clock());
      if (data === undefined) return undefined;
      const requests = before?.session.requests ?? createInFlight((request) => isCancelled(id, request));
      const session = { ...data, id, requests };
      const admitted = { session, sealed, key, seen: clock(), counted: before?.counted ?? 0 };
      known.set(id, admitted);
      for (const watcher of watchers.get(id) ?? []) watcher(session);
      return admitted;
    },
    end({ session }, why) {
      if (!known.delete(session.id)) return;
      session.requests.abortAll();
      watchers.delete(session.id);
      onEnd(session, why);
    },
    watch(id, watcher) {
      const own = watchers.get(id) ?? new Set();
      watchers.set(id, own.add(watcher));
      return () => {
        own.delete(watcher);
        if (own.size === 0 && watchers.get(id) === own) watchers.delete(id);
      };
    },
  };
}
