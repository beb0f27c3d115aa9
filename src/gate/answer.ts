import type { Era, EventStream, Reply } from "../domain.ts";
import type { PortcullisError } from "../lib/errors.ts";
import type { RequestId } from "../lib/rpc.ts";
import {
  errorText,
  httpStatus,
  notificationText,
  requestText,
  resultText,
  upstreamErrorText,
  upstreamStatus,
} from "../protocol/answers.ts";
import type { Outbox } from "./outbox.ts";

type Headers = Readonly<Record<string, string>>;

/** The answer to one JSON-RPC request: plain JSON, unless something comes before it; then an event stream. */
export interface Answer {
  notify(method: string, params: string): void;
  /** Asks the client something, before its own request is answered. */
  request(id: string, method: string, params: string): void;
  /** `result` is the raw text of the result. Gives the bytes of the answer. */
  result(result: string, headers?: Headers): number;
  /** An upstream's own error, as the raw text of the error object. */
  upstreamError(error: string): number;
  error(error: PortcullisError): number;
}

export function createAnswer(reply: Reply, era: Era, id: RequestId, outbox: Outbox | null): Answer {
  let stream: EventStream | undefined;
  /** Events go out in the order in which they were given, each once it is remembered. */
  let last: Promise<void> = Promise.resolve();

  function emit(text: string): void {
    stream ??= reply.stream();
    const to = stream;
    last =
      outbox === null
        ? to.send(text).catch(gone)
        : last
            .then(async () => to.send(text, await outbox.remember(text).catch(() => undefined)))
            .catch(gone);
  }

  function finish(text: string, status: number, headers?: Headers): number {
    if (stream === undefined) reply.json(status, text, headers);
    else {
      emit(text);
      last.finally(() => stream?.end());
    }
    return Buffer.byteLength(text);
  }

  return {
    notify: (method, params) => emit(notificationText(method, params)),
    request: (asked, method, params) => emit(requestText(asked, method, params)),
    result: (result, headers) => finish(resultText(id, result), 200, headers),
    upstreamError: (error) => finish(upstreamErrorText(id, error), upstreamStatus(error, era)),
    error: (error) => finish(errorText(id, error), httpStatus(error, era), error.headers),
  };
}

/** A client that went away cannot be told anything; its request is cancelled by the exchange's signal. */
function gone(): void {}
