import type { Listed, Listening, ListenRequest } from "../domain.ts";
import { PortcullisError, toPortcullisError } from "../lib/errors.ts";
import { keepOpen, type Reopening, type StreamEnd } from "./watch.ts";

/** What a stream is to bring, besides what its server sends unasked. */
export interface Wanted extends ListenRequest {
  /** Lists whose changes are wanted. */
  readonly lists: readonly Listed[];
}

/** Opens a stream; calls back each time that it is open. Resolves when it is over, rejects with `upstream_*`. */
export type Attach = (
  wanted: Wanted,
  signal: AbortSignal,
  onOpen: (listening: Listening) => void,
) => Promise<StreamEnd>;

export interface Listenings {
  /** Resolves when it listens, and goes on until its signal aborts. It takes the place of its session's previous one. */
  listen(request: ListenRequest): Promise<Listening>;
  release(sessionKey: string): void;
  close(): void;
}

interface Loop {
  readonly first: Promise<Listening>;
  readonly closing: AbortController;
}

/** What is listened to, one stream for each session, opened again whenever it ends. */
export function createListenings(attach: Attach, reopening: Reopening): Listenings {
  const current = new Map<string, Loop>();

  function start(request: ListenRequest): Loop {
    const closing = new AbortController();
    const stop = () => closing.abort();
    if (request.signal.aborted) stop();
    else request.signal.addEventListener("abort", stop, { once: true });
    const first = new Promise<Listening>((resolve, reject) => {
      keepOpen(createOpener(request, closing, resolve, reject), closing.signal, reopening)
        .finally(() => {
          request.signal.removeEventListener("abort", stop);
          reject(new PortcullisError("cancelled"));
          if (current.get(request.sessionKey) === loop) current.delete(request.sessionKey);
        })
        .catch(() => {});
    });
    const loop: Loop = { first, closing };
    return loop;
  }

  /** Until it was open once, a failure is the caller's to know; then it is the loop's to mend. */
  function createOpener(
    request: ListenRequest,
    { signal }: AbortController,
    resolve: (listening: Listening) => void,
    reject: (error: PortcullisError) => void,
  ): () => Promise<StreamEnd> {
    const wanted = { ...request, lists: [] };
    let wasOpen = false;
    const onOpen = (listening: Listening) => {
      wasOpen = true;
      resolve(listening);
    };
    return async () => {
      const isFirst = !wasOpen;
      try {
        const end = await attach(wanted, signal, onOpen);
        // What was refused from the start is not asked for again.
        if (wasOpen) return isFirst && end === "unsupported" ? "done" : end;
        throw new PortcullisError("upstream_unavailable", { reason: "its stream ended at once" });
      } catch (error) {
        if (wasOpen) throw error;
        reject(toPortcullisError(error));
        return "done";
      }
    };
  }

  return {
    async listen(request) {
      const { sessionKey } = request;
      const before = current.get(sessionKey);
      const loop = start(request);
      current.set(sessionKey, loop);
      try {
        const listening = await loop.first;
        before?.closing.abort();
        return listening;
      } catch (error) {
        const isBeforeAlive = before !== undefined && !before.closing.signal.aborted;
        if (isBeforeAlive && !current.has(sessionKey)) current.set(sessionKey, before);
        throw error;
      }
    },
    release(sessionKey) {
      current.get(sessionKey)?.closing.abort();
    },
    close() {
      for (const { closing } of current.values()) closing.abort();
    },
  };
}
