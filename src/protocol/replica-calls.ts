import type { Cancellable } from "../lib/cancellation.ts";
import { ERRORS, type ErrorCode, PortcullisError, toPortcullisError } from "../lib/errors.ts";
import { isJsonObject, type Json, type JsonObject } from "../lib/json.ts";
import type { Log } from "../lib/log.ts";

export type MessageHandler = (message: JsonObject, from: string) => void;

/** Messages between nodes: what questions are made of. */
export interface Messages {
  /** At most once, in order. To a node that is not there: nothing happens. @throws `store_unavailable` */
  tell(node: string, type: string, message: JsonObject): Promise<void>;
  /** Several handlers may hear one type. Returns how to stop. */
  onMessage(type: string, handler: MessageHandler): () => void;
}

export interface ReplicaCalls {
  /**
   * Asks one node and gives its reply; what it says on the way goes to `onEvent`, in order and without a gap.
   *
   * @throws PortcullisError what the node threw; `cancelled`; `store_unavailable` where it falls silent
   */
  ask(node: string, type: string, request: JsonObject, options: AskOptions): Promise<JsonObject>;
  /** Answers `ask` of one type: one handler each. */
  serve(type: string, handler: ServeHandler): void;
}

export interface AskOptions {
  readonly signal: Cancellable;
  readonly timeoutMs: number;
  onEvent?(event: JsonObject): void;
}

/** What a node answers with. `signal` aborts when the asker gave up. */
export type ServeHandler = (request: JsonObject, call: ServedCall) => Promise<JsonObject>;

export interface ServedCall {
  readonly from: string;
  readonly signal: AbortSignal;
  event(event: JsonObject): void;
}

interface ReplicaCallsOptions extends Messages {
  newId(): string;
  readonly log: Log;
  readonly beatMs: number;
}

interface Pending {
  readonly node: string;
  /** Events heard so far: the number that the next one, or the reply, must have. */
  heard: number;
  alive(): void;
  event(event: JsonObject): void;
  settle(outcome: JsonObject | PortcullisError): void;
}

const TYPES = { ask: "ask", event: "ask event", reply: "ask reply", abort: "ask abort", alive: "ask alive" };
const SILENT_BEATS = 3;

/** Questions between nodes, over messages that may be lost: a gap or a silence is noticed and ends the question. */
export function createReplicaCalls(options: ReplicaCallsOptions): ReplicaCalls & { close(): void } {
  const { onMessage, newId, log, beatMs } = options;
  const pending = new Map<string, Pending>();
  const serving = new Map<string, AbortController>();
  const handlers = new Map<string, ServeHandler>();

  /** A message that is lost is noticed by whoever waits for it. */
  function send(node: string, type: string, message: JsonObject): void {
    options.tell(node, type, message).catch((err: unknown) => log.warn({ err }, "a replica was not told"));
  }

  function ask(node: string, type: string, request: JsonObject, { signal, timeoutMs, onEvent }: AskOptions) {
    const id = newId();
    return new Promise<JsonObject>((resolve, reject) => {
      const fail = (code: ErrorCode, reason: string) => {
        send(node, TYPES.abort, { id });
        one.settle(new PortcullisError(code, { reason }));
      };
      // Where this process itself was held up, signs of life may lie here unread: they are read before it judges.
      const silence = () => {
        const due = silent;
        const judge = () => {
          if (silent === due && pending.has(id)) fail("store_unavailable", "another replica does not answer");
        };
        setImmediate(() => setImmediate(judge));
      };
      let silent = setTimeout(silence, beatMs * SILENT_BEATS);
      const late = setTimeout(() => fail("upstream_timeout", "another replica took too long"), timeoutMs);
      const cancel = () => fail("cancelled", "");
      const one: Pending = {
        node,
        heard: 0,
        alive() {
          clearTimeout(silent);
          silent = setTimeout(silence, beatMs * SILENT_BEATS);
        },
        event: (event) => onEvent?.(event),
        settle(outcome) {
          if (!pending.delete(id)) return;
          clearTimeout(silent);
          clearTimeout(late);
          signal.removeEventListener("abort", cancel);
          if (outcome instanceof PortcullisError) reject(outcome);
          else resolve(outcome);
        },
      };
      pending.set(id, one);
      if (signal.aborted) return one.settle(new PortcullisError("cancelled"));
      signal.addEventListener("abort", cancel, { once: true });
      options
        .tell(node, TYPES.ask, { id, type, request })
        .catch((thrown: unknown) => one.settle(toPortcullisError(thrown)));
    });
  }

  /** The question that a message is about, if it is of the node that was asked and nothing before it was lost. */
  function asked({ id, number }: JsonObject, from: string): Pending | undefined {
    const one = typeof id === "string" ? pending.get(id) : undefined;
    if (one === undefined || one.node !== from) return undefined;
    one.alive();
    if (number === undefined || number === one.heard) return one;
    one.settle(new PortcullisError("store_unavailable", { reason: "a message of another replica was lost" }));
    return undefined;
  }

  async function answer({ id, type, request }: JsonObject, from: string): Promise<void> {
    if (typeof id !== "string" || typeof type !== "string" || !isJsonObject(request)) return;
    const controller = new AbortController();
    const key = `${from} ${id}`;
    serving.set(key, controller);
    const alive = () => send(from, TYPES.alive, { id });
    alive();
    const beat = setInterval(alive, beatMs);
    let number = 0;
    const event = (event: JsonObject) => send(from, TYPES.event, { id, number: number++, event });
    try {
      const handler = handlers.get(type);
      if (handler === undefined)
        throw new PortcullisError("internal", { reason: `no replica answers ${type}` });
      const reply = await handler(request, { from, signal: controller.signal, event });
      send(from, TYPES.reply, { id, number, reply });
    } catch (thrown) {
      send(from, TYPES.reply, { id, number, error: errorToJson(toPortcullisError(thrown)) });
    } finally {
      clearInterval(beat);
      serving.delete(key);
    }
  }

  onMessage(TYPES.ask, (message, from) => void answer(message, from));
  onMessage(TYPES.alive, (message, from) => void asked(message, from));
  onMessage(TYPES.event, (message, from) => {
    const one = asked(message, from);
    if (one === undefined) return;
    one.heard += 1;
    one.event(message.event as JsonObject);
  });
  onMessage(TYPES.reply, (message, from) => {
    const { reply, error } = message;
    asked(message, from)?.settle(isJsonObject(reply) ? reply : errorFromJson(error));
  });
  onMessage(TYPES.abort, ({ id }, from) => serving.get(`${from} ${id}`)?.abort());

  return {
    ask,
    serve(type, handler) {
      handlers.set(type, handler);
    },
    close() {
      for (const one of [...pending.values()]) one.settle(new PortcullisError("cancelled"));
      for (const controller of serving.values()) controller.abort();
    },
  };
}

/** As another replica is told it: without its cause and headers. */
export function errorToJson({ code, text, data, reason }: PortcullisError): JsonObject {
  return { code, text, reason, ...(data && { data }) };
}

/** A code that is not known here, because a newer replica has it, is `internal`. */
export function errorFromJson(error: Json | undefined): PortcullisError {
  const { code = "", text = "", reason = "", data } = isJsonObject(error) ? error : {};
  const known = typeof code === "string" && Object.hasOwn(ERRORS, code) ? (code as ErrorCode) : "internal";
  return new PortcullisError(known, {
    text: String(text),
    reason: String(reason),
    ...(isJsonObject(data) && { data }),
  });
}
