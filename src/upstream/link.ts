import type { IncomingHttpHeaders } from "node:http";
import type { Dispatcher } from "undici";
import type { Listed } from "../domain.ts";
import { PortcullisError } from "../lib/errors.ts";
import type { Log } from "../lib/log.ts";
import type { Dispatchers } from "./dispatchers.ts";
import { createDropped } from "./dropped.ts";
import { type ExchangeLimits, exchange } from "./exchange.ts";
import { type Access, type Caller, createCaller, headersOf } from "./http-call.ts";
import { type Message as JsonRpc, readMessage } from "./message.ts";
import type { Resumption } from "./resumption.ts";
import type { Backoff } from "./watch.ts";

export interface LinkOptions {
  readonly dispatchers: Dispatchers;
  readonly path: string;
  readonly limits: ExchangeLimits;
  readonly idleMs: number;
  /** For messages that have no answer. */
  readonly postMs: number;
  readonly reconnect: Backoff;
  readonly log: Log;
  onListChanged(what: Listed): void;
}

interface Message {
  readonly method: "POST" | "GET" | "DELETE";
  readonly headers: readonly string[];
  readonly access: Access;
  readonly body?: string;
}

interface Stream extends Message {
  readonly signal: AbortSignal;
  /** Where the stream is left. */
  readonly resumption?: Resumption;
  onOpen(status: number, headers: IncomingHttpHeaders): void;
  receive(message: JsonRpc): void;
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
  onListChanged(what: Listed): void;
  /** Counts what an upstream sent that is for nobody here. */
  onDropped(what: string): void;
}

export function createLink(options: LinkOptions): Link {
  const { dispatchers, path, limits, postMs, onListChanged } = options;
  const onDropped = createDropped(options.log);
  let lastId = 0;

  async function post(message: Message): Promise<number> {
    try {
      return await send(message, dispatchers.forCalls(message.access.lease));
    } catch {
      // A lease that cannot travel there.
      return 0;
    }
  }

  function send(message: Message, dispatcher: Dispatcher): Promise<number> {
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

  function stream({ signal, resumption, onOpen, receive, ...message }: Stream): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return resolve();
      let status = 0;
      const onAbort = () => {
        abort();
        resolve();
      };
      const finish = (error?: PortcullisError) => {
        signal.removeEventListener("abort", onAbort);
        if (error === undefined) resolve();
        else reject(error);
      };
      const sink = {
        head(received: number, headers: IncomingHttpHeaders) {
          status = received;
          onOpen(received, headers);
        },
        /** Rubbish is dear to read: a stream that brings it is not read on. */
        text(text: string) {
          const told = readMessage(text);
          if (told !== undefined) return receive(told);
          onDropped("what is not JSON-RPC");
          if (status >= 300) return;
          abort();
          finish(
            new PortcullisError("upstream_protocol", { reason: "it sent something that is not JSON-RPC" }),
          );
        },
        saw: (id: string) => resumption?.saw(id),
        retry: (ms: number) => resumption?.retry(ms),
        end: () => finish(),
        fail: finish,
      };
      const dispatcher = dispatchers.forStreams(message.access.lease);
      // First, since an exchange may be over before it has begun.
      signal.addEventListener("abort", onAbort, { once: true });
      const abort = exchange(dispatcher, requestOf(message), limits, sink);
    });
  }

  function requestOf({ method, body, ...message }: Message) {
    const headers = headersOf({ ...message, decisionId: "" });
    return { method, path, headers, idleMs: 0, ...(body === undefined ? {} : { body }) };
  }

  const dispatcherOf = dispatchers.forCalls;
  const call = createCaller({ ...options, dispatcherOf, onDropped });
  return { nextId: () => ++lastId, call, post, stream, onListChanged, onDropped };
}
