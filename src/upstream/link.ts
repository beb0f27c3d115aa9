import type { IncomingHttpHeaders } from "node:http";
import type { Dispatcher } from "undici";
import type { PortcullisError } from "../lib/errors.ts";
import type { Log } from "../lib/log.ts";
import type { Secret } from "../lib/secret.ts";
import { type ExchangeLimits, exchange } from "./exchange.ts";
import { type Caller, createCaller, headersOf } from "./http-call.ts";

export interface LinkOptions {
  readonly dispatcher: Dispatcher;
  readonly path: string;
  readonly limits: ExchangeLimits;
  readonly idleMs: number;
  /** For messages that have no answer. */
  readonly postMs: number;
  readonly log: Log;
  onToolsChanged(): void;
}

interface Message {
  readonly method: "POST" | "GET" | "DELETE";
  readonly headers: readonly string[];
  readonly credential: ReadonlyMap<string, Secret>;
  readonly body?: string;
}

interface Stream extends Message {
  readonly signal: AbortSignal;
  onOpen(status: number, headers: IncomingHttpHeaders): void;
  text(text: string): void;
}

/** The ways to speak to one HTTP endpoint. */
export interface Link {
  /** Ids are the gateway's own: two callers' ids never meet upstream. */
  nextId(): number;
  readonly call: Caller;
  /** A message without an answer: its status, or 0 if it did not arrive. Never rejects. */
  post(message: Message): Promise<number>;
  /** A long stream, until it ends. Rejects when it fails, resolves when it ends or the signal aborts. */
  stream(stream: Stream): Promise<void>;
}

export function createLink(options: LinkOptions): Link {
  const { dispatcher, path, limits, postMs } = options;
  let lastId = 0;

  function post(message: Message): Promise<number> {
    return new Promise((resolve) => {
      let status = 0;
      const timer = setTimeout(() => {
        abort();
        resolve(0);
      }, postMs).unref();
      const finish = (result: number) => {
        clearTimeout(timer);
        resolve(result);
      };
      const abort = exchange(dispatcher, requestOf(message), limits, {
        head(received) {
          status = received;
        },
        text() {},
        end: () => finish(status),
        fail: () => finish(0),
      });
    });
  }

  function stream({ signal, onOpen, text, ...message }: Stream): Promise<void> {
    return new Promise((resolve, reject) => {
      const onAbort = () => {
        abort();
        resolve();
      };
      const finish = (error?: PortcullisError) => {
        signal.removeEventListener("abort", onAbort);
        if (error === undefined) resolve();
        else reject(error);
      };
      const sink = { head: onOpen, text, end: () => finish(), fail: finish };
      const abort = exchange(dispatcher, requestOf(message), limits, sink);
      if (signal.aborted) onAbort();
      else signal.addEventListener("abort", onAbort, { once: true });
    });
  }

  function requestOf({ method, body, ...message }: Message) {
    const headers = headersOf({ ...message, decisionId: "" });
    return { method, path, headers, idleMs: 0, ...(body === undefined ? {} : { body }) };
  }

  return { nextId: () => ++lastId, call: createCaller(options), post, stream };
}
