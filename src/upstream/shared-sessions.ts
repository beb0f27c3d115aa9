import type { SharedStore } from "../domain.ts";
import type { Clock } from "../lib/clock.ts";
import { type JsonObject, sha256 } from "../lib/json.ts";
import type { Log } from "../lib/log.ts";
import { GATEWAY_OWNER } from "../lib/owner.ts";
import type { Seal } from "../lib/seal.ts";
import { createSession, type Session } from "./sessions.ts";

export interface SharedSessionsOptions {
  readonly upstream: string;
  readonly store: SharedStore;
  readonly seal: Seal;
  /** How long a session lives without use, milliseconds. */
  readonly idleMs: number;
  readonly content: readonly string[];
  readonly log: Log;
  readonly clock: Clock;
}

/** The store's own time to live is what ends an entry: it is prolonged without being sealed again. */
const NEVER = Number.MAX_SAFE_INTEGER;

/** The upstream sessions of all replicas: another one goes on with an owner's session. The gateway's own are not. */
export interface SharedSessions {
  /** The owner's session as another replica opened it, or a new one that others will find. */
  find(owner: string, open: () => Promise<Session>): Promise<Session>;
  /** The owner's session, if any replica opened one. */
  known(owner: string): Promise<Session | undefined>;
  /** It is in use: it lives on. */
  keep(owner: string): void;
  holds(owner: string, session: Session): Promise<boolean>;
  /** Forgets it. */
  lose(owner: string, session: Session): Promise<void>;
  /** Forgets and returns whichever the owner has. */
  take(owner: string): Promise<Session | undefined>;
}

/** A store that fails costs a session of one's own, never a call. */
export function createSharedSessions(options: SharedSessionsOptions): SharedSessions {
  const { store, seal, idleMs, content, log, clock } = options;
  const keyOf = (owner: string) => `upstream:${options.upstream}:${sha256(owner)}`;

  async function tried<T>(operation: Promise<T>): Promise<T | undefined> {
    try {
      return await operation;
    } catch (error) {
      log.warn({ reason: (error as Error).message }, "upstream sessions are not shared now");
      return undefined;
    }
  }

  async function stored(owner: string): Promise<Session | undefined> {
    if (owner === GATEWAY_OWNER) return undefined;
    const key = keyOf(owner);
    const sealed = await tried(store.touch(key, idleMs));
    // Sealed for its key: one owner's entry is nothing under another's.
    const opened = sealed === undefined ? undefined : seal.open(key, sealed, clock());
    if (opened === undefined) return undefined;
    const { id, identity } = opened as unknown as Pick<Session, "id" | "identity">;
    return createSession(id, identity, content);
  }

  async function forget(owner: string): Promise<void> {
    await tried(store.delete(keyOf(owner)));
  }

  return {
    async find(owner, open) {
      const known = await stored(owner);
      if (known !== undefined) return known;
      const session = await open();
      if (session.id === "" || owner === GATEWAY_OWNER) return session;
      const { id, identity } = session;
      const key = keyOf(owner);
      const kept: JsonObject = { id, identity: { ...identity } };
      await tried(store.set(key, seal.seal(key, kept, NEVER), idleMs));
      return session;
    },
    known: stored,
    keep(owner) {
      if (owner !== GATEWAY_OWNER) void tried(store.touch(keyOf(owner), idleMs));
    },
    async holds(owner, { id }) {
      return (await stored(owner))?.id === id;
    },
    async lose(owner, { id }) {
      if ((await stored(owner))?.id === id) await forget(owner);
    },
    async take(owner) {
      const known = await stored(owner);
      if (known !== undefined) await forget(owner);
      return known;
    },
  };
}
