import type { Exchange } from "../domain.ts";
import type { Rooms } from "./rooms.ts";

/** How long the work for a client goes on once its connection is lost. Milliseconds. */
export const LINGER_MS = 10_000;

/** The events of one stream of a legacy session, kept so that its client can ask for what it missed. */
export interface Outbox {
  /** Gives the event's id. */
  remember(text: string): Promise<string | undefined>;
}

/** Between replicas, about a stream that is followed elsewhere than it is written. */
export const NEWS = "stream news";
export const FOLLOWED = "stream followed";

/**
 * The events of a request's answer. With the first of them the work outlives its connection for a while: the client may
 * come back with `Last-Event-ID`, at this replica or another (MCP 2025-11-25, Resumability and Redelivery).
 */
export function createOutbox(rooms: Rooms, session: string, exchange: Exchange): Outbox {
  let stream: string | undefined;
  let alone = false;
  let ending: NodeJS.Timeout | undefined;
  let stopHearing = (): void => {};

  function linger(): void {
    alone = true;
    clearTimeout(ending);
    ending = setTimeout(end, LINGER_MS).unref();
  }

  function end(): void {
    stopHearing();
    exchange.cancel();
  }

  function open(): string {
    const name = rooms.newId();
    exchange.outlive(linger);
    stopHearing = rooms.replicas.onMessage(FOLLOWED, (message) => {
      if (message.stream !== name || !alone) return;
      clearTimeout(ending);
      if (message.left === true) linger();
    });
    return name;
  }

  return {
    async remember(text) {
      stream ??= open();
      const id = await rooms.events.append(session, stream, text);
      if (alone) await rooms.replicas.broadcast(NEWS, { stream });
      return id;
    },
  };
}
