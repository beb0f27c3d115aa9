import type { Replicas } from "../protocol/replicas.ts";

/** The standing streams of legacy sessions: a session has one at a time, at one replica; the newest takes its place. */
export interface Streams {
  /** Ends the session's stream so far and holds this one. Gives how to end it. */
  take(session: string, end: () => void): () => void;
  readonly size: number;
  close(): void;
}

const TAKEN = "stream taken";

export function createStreams(replicas: Pick<Replicas, "node" | "broadcast" | "onMessage">): Streams {
  const held = new Map<string, () => void>();

  const stop = replicas.onMessage(TAKEN, ({ session }, from) => {
    if (from !== replicas.node && typeof session === "string") held.get(session)?.();
  });

  return {
    take(session, end) {
      held.get(session)?.();
      const close = () => {
        if (held.get(session) === close) held.delete(session);
        end();
      };
      held.set(session, close);
      // A replica that does not hear of it sends to a client that went away: nobody else gets it.
      replicas.broadcast(TAKEN, { session }).catch(() => {});
      return close;
    },
    get size() {
      return held.size;
    },
    close() {
      stop();
      for (const close of [...held.values()]) close();
    },
  };
}
