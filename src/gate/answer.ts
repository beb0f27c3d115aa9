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
import { createSay, type Say } from "./say.ts";

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
  let open: { readonly stream: EventStream; readonly say: Say } | undefined;

  function emit(text: string, kind?: "notification"): Promise<void> {
    if (open === undefined) {
      const stream = reply.stream();
      open = { stream, say: createSay(stream, outbox?.remember) };
    }
    return open.say(text, kind);
  }

  function finish(text: string, status: number, headers?: Headers): number {
    if (open === undefined) reply.json(status, text, headers);
    else {
      const { stream } = open;
      void emit(text).then(() => {
        outbox?.done();
        stream.end();
      });
    }
    return Buffer.byteLength(text);
  }

  return {
    notify: (method, params) => void emit(notificationText(method, params), "notification"),
    request: (asked, method, params) => void emit(requestText(asked, method, params)),
    result: (result, headers) => finish(resultText(id, result), 200, headers),
    upstreamError: (error) => finish(upstreamErrorText(id, error), upstreamStatus(error, era)),
    error: (error) => finish(errorText(id, error), httpStatus(error, era), error.headers),
  };
}
