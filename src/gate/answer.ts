import type { Era, EventStream, Reply } from "../domain.ts";
import type { PortcullisError } from "../lib/errors.ts";
import type { RequestId } from "../lib/rpc.ts";
import {
  errorText,
  httpStatus,
  notificationText,
  resultText,
  upstreamErrorText,
} from "../protocol/answers.ts";

type Headers = Readonly<Record<string, string>>;

/** The answer to one JSON-RPC request: plain JSON, unless a notification comes first; then an event stream. */
export interface Answer {
  notify(method: string, params: string): void;
  /** `result` is the raw text of the result. Gives the bytes of the answer. */
  result(result: string, headers?: Headers): number;
  /** An upstream's own error, as the raw text of the error object. */
  upstreamError(error: string): number;
  error(error: PortcullisError): number;
}

export function createAnswer(reply: Reply, era: Era, id: RequestId): Answer {
  let stream: EventStream | undefined;

  function finish(text: string, status: number, headers?: Headers): number {
    if (stream === undefined) reply.json(status, text, headers);
    else endWith(stream, text);
    return Buffer.byteLength(text);
  }

  return {
    notify(method, params) {
      stream ??= reply.stream();
      stream.send(notificationText(method, params)).catch(gone);
    },
    result: (result, headers) => finish(resultText(id, result), 200, headers),
    upstreamError: (error) => finish(upstreamErrorText(id, error), 200),
    error: (error) => finish(errorText(id, error), httpStatus(error, era), error.headers),
  };
}

function endWith(stream: EventStream, text: string): void {
  stream
    .send(text)
    .finally(() => stream.end())
    .catch(gone);
}

/** A client that went away cannot be told anything; its request is cancelled by the exchange's signal. */
function gone(): void {}
