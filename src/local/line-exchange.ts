import type { Exchange, Reply } from "../domain.ts";
import { Cancellation } from "../lib/cancellation.ts";
import { PortcullisError, toPortcullisError } from "../lib/errors.ts";
import type { Json } from "../lib/json.ts";
import { errorText, type RequestId } from "../lib/rpc.ts";

/** What an HTTP client would have asked. */
export interface LineRequest {
  readonly server: string;
  readonly verb: Exchange["verb"];
  readonly body: Json | undefined;
  /** Of the answer, should the gate itself fail. */
  readonly id: RequestId | null;
  readonly headers: ReadonlyMap<string, string>;
  /** One event of a stream; resolves when the client can take more. */
  onEvent(text: string, eventId: string | undefined): Promise<void>;
}

/** The answer. Of a stream, when it has ended. */
export interface LineAnswer {
  readonly status: number;
  /** A JSON-RPC message, or "". */
  readonly text: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly wasStream: boolean;
}

export interface Asked {
  readonly answered: Promise<LineAnswer>;
  cancel(): void;
  /** The client has gone. */
  leave(): void;
}

/** Puts one exchange to the gate. */
export function ask(handle: (exchange: Exchange) => Promise<void>, request: LineRequest): Asked {
  const { server, verb, body, headers } = request;
  const signal = new Cancellation();
  const answering = createAnswering(request);
  const cancel = (): void => {
    signal.abort();
    answering.cut();
  };
  let gone = cancel;
  const exchange: Exchange = {
    server,
    verb,
    header: (name) => headers.get(name),
    // There is no network between the two.
    clientIp: "",
    isLocal: true,
    body,
    signal,
    cancel,
    outlive(told) {
      gone = told;
    },
    // One client, and nobody else to keep room for.
    whenOver: (told) => told(),
    reply: answering.reply,
  };
  handle(exchange).then(answering.handled, answering.failed);
  return {
    answered: answering.answered,
    cancel,
    leave() {
      gone();
      answering.cut();
    },
  };
}

function createAnswering({ id, onEvent }: LineRequest) {
  let settle: (answer: LineAnswer) => void = () => {};
  let isOpen = false;
  let wasStream = false;
  let close: () => void = () => {};
  const answered = new Promise<LineAnswer>((resolve) => {
    settle = resolve;
  });
  const closed = new Promise<void>((resolve) => {
    close = resolve;
  });

  function finish(status: number, text: string, headers: LineAnswer["headers"] = {}): void {
    isOpen = false;
    settle({ status, text, headers, wasStream });
    close();
  }

  function failed(thrown: unknown): void {
    const error = toPortcullisError(thrown);
    finish(error.row.http, errorText(id, error), error.headers);
  }

  const reply: Reply = {
    json: finish,
    empty: (status, headers) => finish(status, "", headers),
    stream(headers) {
      isOpen = true;
      wasStream = true;
      return {
        // Without text it only primes a connection to be resumed.
        send: async (text, eventId) => (isOpen && text !== "" ? onEvent(text, eventId) : undefined),
        end: () => finish(200, "", headers),
        closed,
      };
    },
  };
  return {
    reply,
    answered,
    failed,
    handled() {
      if (!wasStream) failed(new PortcullisError("internal", { reason: "no answer" }));
    },
    /** A stream to a client that has gone is over; what is no stream yet is still answered. */
    cut() {
      if (isOpen) finish(200, "");
    },
  };
}
