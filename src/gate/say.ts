import type { EventStream } from "../domain.ts";

/** Sends one message; resolves when it is with the connection. Never rejects. */
export type Say = (text: string) => Promise<void>;

/**
 * Messages go out in the order in which they were given, each once it is remembered: without an id where it cannot be.
 * Nobody waits for a reader that is slow: the edge bounds what is kept for it. `first`: what goes out before; it never rejects.
 */
export function createSay(
  stream: Pick<EventStream, "send">,
  remember?: (text: string) => Promise<string | undefined>,
  first: Promise<void> = Promise.resolve(),
): Say {
  const send = (text: string, id?: string) => void stream.send(text, id).catch(gone);
  if (remember === undefined) return async (text) => send(text);
  let last = first;
  return (text) => {
    last = last
      .then(() => remember(text))
      .catch(() => undefined)
      .then((id) => send(text, id));
    return last;
  };
}

/** A client that went away cannot be told anything; its request is cancelled by the exchange's signal. */
function gone(): void {}
