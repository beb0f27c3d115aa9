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
  readonly sessionKey: string;
  readonly first: Promise<Listening>;
  readonly closing: AbortController;
}

/** What is listened to, one stream for each session, opened again whenever it ends. */
export function createListenings(attach: Attach, reopening: Reopening): Listenings {
  /** Of one session there may be several: until the newest listens, the one before goes on. */
  const loops = new Set<Loop>();

  function of(sessionKey: string): readonly Loop[] {
    return [...loops].filter((loop) => loop.sessionKey === sessionKey);
  }

  function start(request: ListenRequest): Loop {
    const closing = new AbortController();
    const stop = () => closing.abort();
    if (request.signal.aborted) stop();
    else request.signal.addEventListener("abort", stop, { once: true });
    const first = new Promise<Listening>((resolve, reject) => {
      keepOpen(createOpener(attach, request, closing.signal, { resolve, reject }), closing.signal, reopening)
        .finally(() => {
          request.signal.removeEventListener("abort", stop);
          reject(new PortcullisError("cancelled"));
          loops.delete(loop);
        })
        .catch(() => {});
    });
    const loop: Loop = { sessionKey: request.sessionKey, first, closing };
    loops.add(loop);
    return loop;
  }

  return {
    async listen(request) {
      const before = of(request.sessionKey);
      const listening = await start(request).first;
      end(before);
      return listening;
    },
    release: (sessionKey) => end(of(sessionKey)),
    close: () => end(loops),
  };
}

function end(loops: Iterable<Loop>): void {
  for (const { closing } of loops) closing.abort();
}

/** Until it was open once, a failure is the caller's to know; then it is the loop's to mend. */
function createOpener(
  attach: Attach,
  request: ListenRequest,
  signal: AbortSignal,
  first: { resolve(listening: Listening): void; reject(error: PortcullisError): void },
): () => Promise<StreamEnd> {
  const wanted = { ...request, lists: [] };
  let wasOpen = false;
  const onOpen = (listening: Listening) => {
    wasOpen = true;
    first.resolve(listening);
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
      first.reject(toPortcullisError(error));
      return "done";
    }
  };
}
