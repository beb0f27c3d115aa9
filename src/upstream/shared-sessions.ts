import type { SharedStore } from "../domain.ts";
import type { Clock } from "../lib/clock.ts";
import { GATEWAY_SESSION } from "../lib/gateway-session.ts";
import { randomId } from "../lib/ids.ts";
import { type JsonObject, sha256 } from "../lib/json.ts";
import type { Log } from "../lib/log.ts";
import type { Seal } from "../lib/seal.ts";
import { createSession, type Session } from "./session.ts";

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

/** The upstream sessions of all replicas: another one goes on with a key's session. The gateway's own are not. */
export interface SharedSessions {
  /** The key's session as another replica opened it, or a new one that others will find. */
  find(sessionKey: string, open: () => Promise<Session>): Promise<Session>;
  /** The key's session, if any replica opened one. */
  known(sessionKey: string): Promise<Session | undefined>;
  /** It is in use: it lives on. */
  keep(sessionKey: string): void;
  /** This replica lets go of it. true: no other has it, and none will find it. */
  leave(sessionKey: string, session: Session): Promise<boolean>;
  /** This replica stops. true: others may go on with it. */
  pass(sessionKey: string, session: Session): Promise<boolean>;
  /** Forgets it, whoever has it. */
  lose(sessionKey: string, session: Session): Promise<void>;
  /** Forgets and returns whichever the key has. */
  take(sessionKey: string): Promise<Session | undefined>;
}

/** A store that fails costs a session of one's own, never a call. */
export function createSharedSessions(options: SharedSessionsOptions): SharedSessions {
  const { store, seal, idleMs, content, log, clock } = options;
  const keyOf = (sessionKey: string) => `upstream:${options.upstream}:${sha256(sessionKey)}`;
  const replicasOf = (sessionKey: string) => `${keyOf(sessionKey)}:replicas`;
  const replica = randomId();

  async function tried<T>(operation: Promise<T>): Promise<T | undefined> {
    try {
      return await operation;
    } catch (error) {
      log.warn({ reason: (error as Error).message }, "upstream sessions are not shared now");
      return undefined;
    }
  }

  async function stored(sessionKey: string): Promise<Session | undefined> {
    if (sessionKey === GATEWAY_SESSION) return undefined;
    const key = keyOf(sessionKey);
    const sealed = await tried(store.touch(key, idleMs));
    // Sealed for its key: one entry is nothing in another's place.
    const opened = sealed === undefined ? undefined : seal.open(key, sealed, clock());
    if (opened === undefined) return undefined;
    const { id, identity } = opened as unknown as Pick<Session, "id" | "identity">;
    return createSession(id, identity, content);
  }

  async function forget(sessionKey: string): Promise<void> {
    await tried(store.delete(keyOf(sessionKey)));
  }

  async function join(sessionKey: string): Promise<void> {
    await tried(store.join(replicasOf(sessionKey), replica, idleMs, Number.MAX_SAFE_INTEGER));
  }

  async function leave(sessionKey: string): Promise<void> {
    await tried(store.leave(replicasOf(sessionKey), replica));
  }

  async function put(sessionKey: string, { id, identity }: Session): Promise<void> {
    const key = keyOf(sessionKey);
    const kept: JsonObject = { id, identity: { ...identity } };
    await tried(store.set(key, seal.seal(key, kept, NEVER), idleMs));
  }

  async function holds(sessionKey: string, { id }: Session): Promise<boolean> {
    return (await stored(sessionKey))?.id === id;
  }

  return {
    async find(sessionKey, open) {
      const known = await stored(sessionKey);
      const session = known ?? (await open());
      if (session.id === "" || sessionKey === GATEWAY_SESSION) return session;
      await join(sessionKey);
      if (known === undefined) await put(sessionKey, session);
      return session;
    },
    known: stored,
    keep(sessionKey) {
      if (sessionKey === GATEWAY_SESSION) return;
      void tried(store.touch(keyOf(sessionKey), idleMs));
      void join(sessionKey);
    },
    async leave(sessionKey, session) {
      await leave(sessionKey);
      const others = await tried(store.members(replicasOf(sessionKey)));
      if (others !== undefined && others.length > 0) return false;
      if (await holds(sessionKey, session)) await forget(sessionKey);
      return true;
    },
    async pass(sessionKey, session) {
      await leave(sessionKey);
      return holds(sessionKey, session);
    },
    async lose(sessionKey, session) {
      if (await holds(sessionKey, session)) await forget(sessionKey);
    },
    async take(sessionKey) {
      const known = await stored(sessionKey);
      if (known !== undefined) await forget(sessionKey);
      // Also where another replica forgot it first: who is still said to have it keeps the key's next one from being ended.
      await leave(sessionKey);
      return known;
    },
  };
}
