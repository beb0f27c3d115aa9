import type { SharedStore } from "../domain.ts";
import type { Clock } from "../lib/clock.ts";
import { randomId } from "../lib/ids.ts";
import { type JsonObject, sha256 } from "../lib/json.ts";
import type { Log } from "../lib/log.ts";
import { GATEWAY_OWNER } from "../lib/owner.ts";
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

/** The upstream sessions of all replicas: another one goes on with an owner's session. The gateway's own are not. */
export interface SharedSessions {
  /** The owner's session as another replica opened it, or a new one that others will find. */
  find(owner: string, open: () => Promise<Session>): Promise<Session>;
  /** The owner's session, if any replica opened one. */
  known(owner: string): Promise<Session | undefined>;
  /** It is in use: it lives on. */
  keep(owner: string): void;
  /** This replica lets go of it. true: no other has it, and none will find it. */
  leave(owner: string, session: Session): Promise<boolean>;
  /** This replica stops. true: others may go on with it. */
  pass(owner: string, session: Session): Promise<boolean>;
  /** Forgets it. */
  lose(owner: string, session: Session): Promise<void>;
  /** Forgets and returns whichever the owner has. */
  take(owner: string): Promise<Session | undefined>;
}

/** A store that fails costs a session of one's own, never a call. */
export function createSharedSessions(options: SharedSessionsOptions): SharedSessions {
  const { store, seal, idleMs, content, log, clock } = options;
  const keyOf = (owner: string) => `upstream:${options.upstream}:${sha256(owner)}`;
  const replicasOf = (owner: string) => `${keyOf(owner)}:replicas`;
  const replica = randomId();

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

  async function join(owner: string): Promise<void> {
    await tried(store.join(replicasOf(owner), replica, idleMs, Number.MAX_SAFE_INTEGER));
  }

  async function leave(owner: string): Promise<void> {
    await tried(store.leave(replicasOf(owner), replica));
  }

  async function put(owner: string, { id, identity }: Session): Promise<void> {
    const key = keyOf(owner);
    const kept: JsonObject = { id, identity: { ...identity } };
    await tried(store.set(key, seal.seal(key, kept, NEVER), idleMs));
  }

  async function holds(owner: string, { id }: Session): Promise<boolean> {
    return (await stored(owner))?.id === id;
  }

  return {
    async find(owner, open) {
      const known = await stored(owner);
      const session = known ?? (await open());
      if (session.id === "" || owner === GATEWAY_OWNER) return session;
      await join(owner);
      if (known === undefined) await put(owner, session);
      return session;
    },
    known: stored,
    keep(owner) {
      if (owner === GATEWAY_OWNER) return;
      void tried(store.touch(keyOf(owner), idleMs));
      void join(owner);
    },
    async leave(owner, session) {
      await leave(owner);
      const others = await tried(store.members(replicasOf(owner)));
      if (others !== undefined && others.length > 0) return false;
      if (await holds(owner, session)) await forget(owner);
      return true;
    },
    async pass(owner, session) {
      await leave(owner);
      return holds(owner, session);
    },
    async lose(owner, session) {
      if (await holds(owner, session)) await forget(owner);
      await leave(owner);
    },
    async take(owner) {
      const known = await stored(owner);
      if (known !== undefined) await forget(owner);
      // Also where another replica forgot it first: who is still said to have it keeps the owner's next one from being ended.
      await leave(owner);
      return known;
    },
  };
}
