import { PortcullisError } from "../lib/errors.ts";
import type { Replicas } from "../protocol/replicas.ts";
import { holderOf } from "./principal.ts";

/** What is held open for clients outside of their requests. */
export interface Streams {
  /**
   * Takes the place of the session's stream so far, at whichever replica it is: the newest counts. `end` is called
   * when another takes its own place. Gives how to leave.
   */
  take(session: string, end: () => void): () => void;
  /**
   * A `subscriptions/listen` of this owner. Gives how to leave.
   *
   * @throws PortcullisError `overloaded`
   */
  listen(owner: string, end: () => void): () => void;
  readonly size: number;
  /** Ends them all: a drain does not wait for what never ends by itself. */
  close(): void;
}

const TAKEN = "stream taken";
const LISTENS_PER_USER = 32;

/** `max`: most `subscriptions/listen` at a time. `share`: how many of so many one tenant may have. */
export function createStreams(
  replicas: Pick<Replicas, "node" | "broadcast" | "onMessage">,
  max: number,
  share: (max: number) => number,
): Streams {
  const held = new Map<string, () => void>();
  const listens = new Map<() => void, ReturnType<typeof holderOf>>();

  const stop = replicas.onMessage(TAKEN, ({ session }, from) => {
    if (from !== replicas.node && typeof session === "string") held.get(session)?.();
  });

  return {
    take(session, end) {
      held.get(session)?.();
      held.set(session, end);
      // A replica that does not hear of it sends to a client that went away: nobody else gets it.
      replicas.broadcast(TAKEN, { session }).catch(() => {});
      return () => {
        if (held.get(session) === end) held.delete(session);
      };
    },
    listen(owner, end) {
      const holder = holderOf(owner);
      const count = (by: keyof typeof holder) =>
        [...listens.values()].filter((one) => one[by] === holder[by]).length;
      if (count("user") >= LISTENS_PER_USER || count("tenant") >= share(max) || listens.size >= max)
        throw new PortcullisError("overloaded", { reason: "too many streams are open" });
      listens.set(end, holder);
      return () => void listens.delete(end);
    },
    get size() {
      return held.size + listens.size;
    },
    close() {
      stop();
      for (const end of [...held.values(), ...listens.keys()]) end();
    },
  };
}
