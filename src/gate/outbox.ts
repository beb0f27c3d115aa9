import type { Exchange } from "../domain.ts";
import type { RequestId } from "../lib/rpc.ts";
import type { EventStore } from "../protocol/events.ts";
import type { Replicas } from "../protocol/replicas.ts";

/** How long the work for a client goes on once its connection is lost. Milliseconds. */
export const LINGER_MS = 10_000;
/** Characters. What is longer would push all else out of what is kept of a session. */
const LONGEST = 256 << 10;
/** Of a request's id in the name of its stream: what an event's id has room for. */
const LONGEST_ID = 16;
/** Whoever follows a stream asks again after so long. Milliseconds. */
const FOLLOW_MS = 3_600_000;
const FOLLOW = "follow a stream";

/** The events of one request's answer, kept so that its client can ask for what it missed. */
export interface Outbox {
  /** Gives the event's id; undefined: it cannot be asked for again. */
  remember(text: string): Promise<string | undefined>;
  /** The answer is whole. */
  done(): void;
}

/**
 * Answers that come as streams in legacy sessions. With its first event the work outlives its connection for a while:
 * the client may come back with `Last-Event-ID`, at this replica or another (MCP 2025-11-25, Resumability and
 * Redelivery).
 */
export interface Outboxes {
  /** For one request of a session; nothing is held before its first event. */
  open(session: string, request: RequestId, exchange: Exchange): Outbox;
  /** Resolves when no more is written to a stream; until then tells whenever there may be more. The work goes on meanwhile. */
  follow(at: StreamOf, onNews: () => void, signal: AbortSignal): Promise<void>;
  /** Streams that are being written here. */
  readonly size: number;
}

/** A stream, and the session that it must be of. */
export interface StreamOf {
  readonly session: string;
  readonly stream: string;
}

/** A stream that is being written here, whoever reads it. */
interface Writing {
  readonly session: string;
  /** There is more to read. */
  tell(): void;
  /** Resolves when it is whole, or the signal aborts; until then is told of what there is more. */
  follow(onNews: () => void, signal: AbortSignal): Promise<void>;
  done(): void;
}

export function createOutboxes(
  events: Pick<EventStore, "append">,
  replicas: Pick<Replicas, "node" | "ask" | "serve">,
  newId: () => string,
): Outboxes {
  const writings = new Map<string, Writing>();

  replicas.serve(FOLLOW, async ({ session, stream }, { event, signal }) => {
    const at = { session: String(session), stream: String(stream) };
    await followHere(at, () => event({}), signal);
    return {};
  });

  async function followHere({ session, stream }: StreamOf, onNews: () => void, signal: AbortSignal) {
    const writing = writings.get(stream);
    if (writing?.session === session) await writing.follow(onNews, signal);
  }

  return {
    open(session, request, exchange) {
      let stream = "";
      let writing: Writing | undefined;
      return {
        async remember(text) {
          // Nobody asks again for what was cancelled; its session may be over, and all that was kept of it gone.
          if (exchange.signal.aborted) return undefined;
          if (writing === undefined) {
            stream = streamName(replicas.node, newId(), request);
            writing = beginWriting(session, exchange);
            writings.set(stream, writing);
          }
          if (text.length > LONGEST) return undefined;
          const id = await events.append(session, stream, text);
          writing.tell();
          return id;
        },
        done() {
          if (writing === undefined) return;
          writings.delete(stream);
          writing.done();
        },
      };
    },
    async follow(at, onNews, signal) {
      const { node } = partsOf(at.stream);
      if (node === replicas.node) return followHere(at, onNews, signal);
      await replicas.ask(node, FOLLOW, { ...at }, { signal, timeoutMs: FOLLOW_MS, onEvent: onNews });
    },
    get size() {
      return writings.size;
    },
  };
}

/** The work lingers while nobody reads what it writes, and then is over. */
function beginWriting(session: string, exchange: Exchange): Writing {
  const followers = new Set<() => void>();
  let isAlone = false;
  let isWhole = false;
  let ending: NodeJS.Timeout | undefined;
  let end = () => {};
  const over = new Promise<void>((resolve) => {
    end = resolve;
  });

  function linger(): void {
    clearTimeout(ending);
    // Whose answer is whole has nothing to linger for.
    if (!isAlone || isWhole || followers.size > 0) return;
    ending = setTimeout(() => exchange.cancel(), LINGER_MS).unref();
  }

  exchange.outlive(() => {
    isAlone = true;
    linger();
  });
  return {
    session,
    tell() {
      for (const onNews of followers) onNews();
    },
    async follow(onNews, signal) {
      clearTimeout(ending);
      followers.add(onNews);
      await Promise.race([over, aborted(signal)]);
      followers.delete(onNews);
      linger();
    },
    done() {
      isWhole = true;
      clearTimeout(ending);
      end();
    },
  };
}

/** A stream's name says who writes it, and what it answers. */
function streamName(node: string, id: string, request: RequestId): string {
  const answered = Buffer.from(JSON.stringify(request)).toString("base64url");
  return [node, id, ...(answered.length <= LONGEST_ID ? [answered] : [])].join("~");
}

function partsOf(stream: string): { readonly node: string; readonly answered: string } {
  const [node = "", , answered = ""] = stream.split("~");
  return { node, answered };
}

/** The request that a stream answers, where its name says so. */
export function requestOf(stream: string): RequestId | undefined {
  try {
    const id: unknown = JSON.parse(Buffer.from(partsOf(stream).answered, "base64url").toString());
    return typeof id === "string" || typeof id === "number" ? id : undefined;
  } catch {
    return undefined;
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}
