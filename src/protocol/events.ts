import type { SharedStore } from "../domain.ts";
import type { Clock } from "../lib/clock.ts";
import { isJsonObject, sha256 } from "../lib/json.ts";
import type { Seal } from "../lib/seal.ts";

/** What a resumed stream sends again (MCP 2025-11-25, Resumability and Redelivery). */
export interface Missed {
  readonly stream: string;
  readonly events: readonly { readonly id: string; readonly text: string }[];
}

/** The last events of each legacy session, so that a client can ask for those that it missed. */
export interface EventStore {
  /** Keeps a message of one of the session's streams and gives its event id. An empty text only marks a place. */
  append(session: string, stream: string, text: string): Promise<string>;
  /**
   * What followed an event on its own stream, oldest first; undefined: there is no such event, or not all that followed
   * is kept. An id is of its session alone: within another it is unknown.
   */
  after(session: string, eventId: string): Promise<Missed | undefined>;
  /** Its session is over: else whoever opens and ends sessions fills the store with what nobody can ask for. */
  forget(session: string): Promise<void>;
}

export interface EventStoreOptions {
  readonly store: Pick<SharedStore, "append" | "after" | "delete">;
  readonly seal: Seal;
  readonly clock: Clock;
  /** Milliseconds for which events are kept after the last one. */
  readonly idleMs: number;
}

/** Of one session, all its streams together. */
const LIMITS = { entries: 256, bytes: 1 << 20 };
const LIFE_MS = 24 * 3600 * 1000;
/** `<stream>.<place>` */
const EVENT_ID = /^([\w~-]{1,64})\.(0|[1-9]\d{0,14})$/;

export function createEventStore({ store, seal, clock, idleMs }: EventStoreOptions): EventStore {
  return {
    async append(session, stream, text) {
      const log = logOf(session);
      const sealed = seal.seal(log, { stream, text }, clock() + LIFE_MS);
      return `${stream}.${await store.append(log, sealed, LIMITS, idleMs)}`;
    },
    async after(session, eventId) {
      const [, stream, place] = EVENT_ID.exec(eventId) ?? [];
      if (stream === undefined || place === undefined) return undefined;
      const log = logOf(session);
      const entries = await store.after(log, Number(place));
      const events = entries?.flatMap((entry) => {
        const event = seal.open(log, entry.value, clock());
        if (!isJsonObject(event) || event.stream !== stream || typeof event.text !== "string") return [];
        return event.text === "" ? [] : [{ id: `${stream}.${entry.place}`, text: event.text }];
      });
      return events && { stream, events };
    },
    async forget(session) {
      await store.delete(logOf(session));
    },
  };
}

/** Also the purpose that its events are sealed for: one that was moved to another session's log opens nowhere. */
function logOf(session: string): string {
  return `events ${sha256(session)}`;
}
