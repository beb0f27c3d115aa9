import type { EventStream, Reply } from "../domain.ts";
import type { PortcullisError } from "../lib/errors.ts";
import { errorText, notificationText, resultText } from "../protocol/answers.ts";

/** The answer to one JSON-RPC request: plain JSON, unless a notification comes first; then an event stream. */
export interface Answer {
  notify(method: string, params: string): void;
  /** `result` is the raw text of the result. Gives the bytes of the answer. */
  result(result: string, headers?: Readonly<Record<string, string>>): number;
  /** An upstream's own error, as the raw text of the error object. */
  upstreamError(error: string): number;
  error(error: PortcullisError): number;
}

export function createAnswer(reply: Reply, id: string | number | null): Answer {
  let stream: EventStream | undefined;

  function finish(text: string, status: number, headers?: Readonly<Record<string, string>>): number {
    if (stream === undefined) {
      reply.json(status, text, headers);
    } else {
      const open = stream;
      // The client may be gone: its stream ends either way.
      open.send(text).finally(() => open.end()).catch(() => {});
    }
    return Buffer.byteLength(text);
  }

  return {
    notify(method, params) {
      stream ??= reply.stream();
      stream.send(notificationText(method, params)).catch(() => {});
    },
    result: (result, headers) => finish(resultText(id, result), 200, headers),
    upstreamError: (error) => finish(`{"jsonrpc":"2.0","id":${JSON.stringify(id)},"error":${error}}`, 200),
    error: (error) => finish(errorText(id, error), error.row.http, error.headers),
  };
}
