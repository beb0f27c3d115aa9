import { PortcullisError } from "../lib/errors.ts";
import type { Replicas } from "../protocol/replicas.ts";
import { holderOf } from "./principal.ts";

/** What is held open for clients outside of their requests. */
export interface Streams {
  /**
   * Takes the place of the session's stream so far, at whichever replica it is: the newest counts.
   * `standing` is ended when another takes its own place.
   */
  take(session: string, standing: Standing): Taken;
  /**
   * A `subscriptions/listen` of this principal. Gives how to leave.
   *
   * @throws PortcullisError `overloaded`
   */
  listen(principalKey: string, end: () => void): () => void;
  readonly size: number;
  /** Ends them all: a drain does not wait for what never ends by itself. */
  close(): void;
}

export interface Standing {
  end(): void;
  /** Says what is left to say once it was ended for another. Resolves when that is remembered; never rejects. */
  settle(): Promise<void>;
}

export interface Taken {
  /** Resolves when the stream that was here before says no more. */
  readonly before: Promise<void>;
  leave(): void;
}

const TAKEN = "stream taken";
const LISTENS_PER_USER = 32;

/** `max`: most `subscriptions/listen` at a time. `share`: how many of so many one tenant may have. */
export function createStreams(
  replicas: Pick<Replicas, "node" | "broadcast" | "onMessage">,
  max: number,
  share: (max: number) => number,
): Streams {
  const held = new Map<string, Standing>();
  const listens = new Map<() => void, ReturnType<typeof holderOf>>();

  const stop = replicas.onMessage(TAKEN, ({ session }, from) => {
    if (from !== replicas.node && typeof session === "string") void yieldPlace(session);
  });

  async function yieldPlace(session: string): Promise<void> {
    const standing = held.get(session);
    standing?.end();
    await standing?.settle();
  }

  return {
    take(session, standing) {
      const before = yieldPlace(session);
      held.set(session, standing);
      // A replica that does not hear of it sends to a client that went away: nobody else gets it.
      replicas.broadcast(TAKEN, { session }).catch(() => {});
      return {
        before,
        leave: () => {
          if (held.get(session) === standing) held.delete(session);
        },
      };
    },
    listen(principalKey, end) {
      const holder = holderOf(principalKey);
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
      for (const { end } of held.values()) end();
      for (const end of listens.keys()) end();
    },
  };
}
