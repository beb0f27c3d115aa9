import { isUtf8 } from "node:buffer";
import type { IncomingHttpHeaders } from "node:http";
import type { Dispatcher } from "undici";
import { PortcullisError } from "../lib/errors.ts";
import { Gathered } from "../lib/gathered.ts";
import { EventReader } from "./event-reader.ts";

export interface ExchangeLimits {
  /** Bytes of one JSON answer, or of one event. */
  readonly answerBytes: number;
  /** Bytes of a whole event stream. */
  readonly streamBytes: number;
}

export interface ExchangeRequest {
  readonly method: "POST" | "GET" | "DELETE";
  readonly path: string;
  /** Flat name-value pairs. */
  readonly headers: string[];
  readonly body?: string | undefined;
  /** Longest silence of an event stream in milliseconds; 0: any. */
  readonly idleMs: number;
}

/** What comes back. After `end`, `fail` or an abort nothing more is called. */
export interface ExchangeSink {
  head(status: number, headers: IncomingHttpHeaders): void;
  /** A JSON body, or the data of one event. */
  text(text: string): void;
  /** The id of an event, before its data. */
  saw?(id: string): void;
  /** The `retry:` field of an event stream, milliseconds. */
  retry?(ms: number): void;
  /** true: an event stream may stay silent for longer. */
  isPatient?(): boolean;
  end(): void;
  fail(error: PortcullisError): void;
}

type Body = { feed(chunk: Buffer): void; end(): void };

/** One HTTP exchange, bounded in bytes; never redirected, never retried. Returns how to abort it. */
export function exchange(
  dispatcher: Dispatcher,
  request: ExchangeRequest,
  limits: ExchangeLimits,
  sink: ExchangeSink,
): () => void {
  let controller: Dispatcher.DispatchController | undefined;
  let body: Body | undefined;
  let idle: NodeJS.Timeout | undefined;
  let over = false;

  function stop(): boolean {
    if (over) return false;
    over = true;
    clearTimeout(idle);
    return true;
  }
  function abort(): void {
    if (stop()) controller?.abort(new Error("ended by the gateway"));
  }
  function fail(error: PortcullisError): void {
    if (over) return;
    abort();
    sink.fail(error);
  }
  function deliver(text: string): void {
    if (!over && text !== "") sink.text(text);
  }
  function onSilence(): void {
    if (sink.isPatient?.()) idle?.refresh();
    else fail(new PortcullisError("upstream_timeout"));
  }

  const { method, path, headers } = request;
  dispatcher.dispatch(
    { method, path, headers, body: request.body ?? null },
    {
      onRequestStart(started) {
        controller = started;
        if (over) started.abort(new Error("ended by the gateway"));
      },
      onResponseStart(_, status, received) {
        if (over || status < 200) return;
        const isStream = isEventStream(received);
        body = isStream
          ? eventBody(limits, sink, deliver, fail)
          : wholeBody(limits.answerBytes, deliver, fail);
        if (isStream && request.idleMs > 0) idle = setTimeout(onSilence, request.idleMs);
        sink.head(status, received);
      },
      onResponseData(_, chunk) {
        if (over) return;
        idle?.refresh();
        body?.feed(chunk);
      },
      onResponseEnd() {
        if (!over) body?.end();
        if (stop()) sink.end();
      },
      onResponseError(_, error) {
        if (stop()) sink.fail(unavailable(error));
      },
    },
  );
  return abort;
}

/** A media type is the same in any case (RFC 9110, section 8.3.1). */
export function isEventStream(headers: IncomingHttpHeaders): boolean {
  return /^text\/event-stream[ \t]*(?:;|$)/i.test(String(headers["content-type"] ?? ""));
}

/** An undici error holds sockets and options: only its code goes on. */
function unavailable(error: Error): PortcullisError {
  const { code } = error as NodeJS.ErrnoException;
  return new PortcullisError("upstream_unavailable", { reason: code ?? error.name });
}

function protocolError(reason: string): PortcullisError {
  return new PortcullisError("upstream_protocol", { reason });
}

function wholeBody(
  maxBytes: number,
  deliver: (text: string) => void,
  fail: (error: PortcullisError) => void,
): Body {
  const body = new Gathered();
  return {
    feed(chunk) {
      if (body.length + chunk.length > maxBytes)
        fail(protocolError(`the answer is larger than ${maxBytes} bytes`));
      else body.add(chunk);
    },
    end() {
      const all = body.take();
      if (isUtf8(all)) deliver(all.toString("utf8"));
      else fail(protocolError("the answer is not UTF-8"));
    },
  };
}

function eventBody(
  limits: ExchangeLimits,
  sink: ExchangeSink,
  deliver: (text: string) => void,
  fail: (error: PortcullisError) => void,
): Body {
  let bytes = 0;
  const reader = new EventReader({
    maxBytes: limits.answerBytes,
    onRetry: (ms) => sink.retry?.(ms),
    onId: (id) => sink.saw?.(id),
    onEvent: (type, data) => {
      if (type === "" || type === "message") deliver(data);
    },
    onFault: (reason) => fail(protocolError(reason)),
  });
  return {
    feed(chunk) {
      bytes += chunk.length;
      if (bytes > limits.streamBytes) fail(protocolError("the event stream is too long"));
      else reader.feed(chunk);
    },
    end() {},
  };
}
