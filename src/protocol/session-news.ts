import type { JsonObject } from "../lib/json.ts";
import type { Log } from "../lib/log.ts";
import type { RequestId } from "../lib/rpc.ts";
import type { Replicas } from "./replicas.ts";
import { isRequestId } from "./shapes.ts";

/** What replicas tell each other of a session. */
export interface SessionNews {
  ended(id: string): void;
  changed(id: string): void;
  /** Whoever answers this request of the session stops. */
  cancel(id: string, request: RequestId): void;
}

const TYPES = { ended: "session ended", changed: "session changed", cancel: "session cancel" };

/** Tells the other replicas, which may fail and then is in the log, and hears what they tell. */
export function openSessionNews(
  replicas: Pick<Replicas, "node" | "broadcast" | "onMessage">,
  log: Log,
  heard: SessionNews,
): SessionNews & { close(): void } {
  function tell(type: string, message: JsonObject): void {
    replicas.broadcast(type, message).catch((err: unknown) => log.warn({ err }, "replicas were not told"));
  }

  function hear(type: string, handler: (id: string, message: JsonObject) => void): () => void {
    return replicas.onMessage(type, (message, from) => {
      if (from !== replicas.node && typeof message.id === "string") handler(message.id, message);
    });
  }

  const deaf = [
    hear(TYPES.ended, heard.ended),
    hear(TYPES.changed, heard.changed),
    hear(TYPES.cancel, (id, { request }) => {
      if (isRequestId(request)) heard.cancel(id, request);
    }),
  ];

  return {
    ended: (id) => tell(TYPES.ended, { id }),
    changed: (id) => tell(TYPES.changed, { id }),
    cancel: (id, request) => tell(TYPES.cancel, { id, request }),
    close() {
      for (const stop of deaf) stop();
    },
  };
}
