import type { EventStream } from "../domain.ts";
import { createInTurn } from "./in-turn.ts";

/**
 * Sends one message; resolves when it is with the connection. Never rejects. A notification is lost where more waits than
 * may.
 */
export type Say = (text: string, kind?: "notification") => Promise<void>;

/**
 * Messages go out in the order in which they were given, each once it is remembered: without an id where it cannot be.
 * Nobody waits for a reader that is slow: the edge bounds what is kept for it. `first`: what goes out before; it never rejects.
 */
export function createSay(
  stream: Pick<EventStream, "send">,
  remember?: (text: string) => Promise<string | undefined>,
  first?: Promise<void>,
): Say {
  const send = (text: string, id?: string) => void stream.send(text, id).catch(gone);
  if (remember === undefined) return async (text) => send(text);
  const turn = createInTurn(first);
  return (text, kind) => {
    if (kind !== "notification" || !turn.isFull())
      turn.add(text, async () => send(text, await remember(text).catch(() => undefined)));
    return turn.told();
  };
}

/** A client that went away cannot be told anything; its request is cancelled by the exchange's signal. */
function gone(): void {}
