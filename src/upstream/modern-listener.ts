import type { Listening, UpstreamRequest } from "../domain.ts";
import { PortcullisError } from "../lib/errors.ts";
import type { JsonObject } from "../lib/json.ts";
import { changedList, honouredIn, listenParams, NOT_HONOURED } from "./era.ts";
import { type Call, type Outcome, statusError } from "./http-call.ts";
import type { Link } from "./link.ts";
import type { Attach, Wanted } from "./listening.ts";
import { type Message, takeSubscription } from "./message.ts";
import { aborted, type StreamEnd } from "./watch.ts";

/** Who asks, as far as a modern server hears of it. */
type Asker = Pick<UpstreamRequest, "clientInfo" | "clientCapabilities" | "logLevel">;

/** What all requests of a method have in common, whether they are answered or followed. */
export type Compose = (
  method: string,
  params: JsonObject,
  asker: Asker,
  more?: Pick<UpstreamRequest, "progressToken" | "paramHeaders">,
) => Pick<Call, "id" | "body" | "headers">;

export interface ModernListenerOptions {
  readonly link: Link;
  readonly compose: Compose;
  /** For the server to say that it listens, milliseconds. */
  readonly openMs: number;
  /** Whether the refusal is of the era, and not of the request. */
  refusesEra(refusal: Pick<Outcome, "status" | "code">): boolean;
}

const METHOD = "subscriptions/listen";

/** Listens by `subscriptions/listen` (2026-07-28): one stream, with what its server agreed to bring. */
export function createModernListener(options: ModernListenerOptions): Attach {
  const { link, compose, openMs } = options;
  return async (wanted, signal, onOpen) => {
    const { lists, uris } = wanted;
    if (lists.length + uris.length === 0) {
      // Nothing else comes by such a stream: log messages and task status belong to requests here.
      onOpen({ refused: new Map() });
      await aborted(signal);
      return "done";
    }
    const { id, body, headers } = compose(METHOD, listenParams(lists, uris), wanted);
    const silence = new AbortController();
    const timer = setTimeout(() => silence.abort(), openMs);
    const subscription = new Subscription(options, wanted, id, (listening) => {
      clearTimeout(timer);
      onOpen(listening);
    });
    try {
      await link.stream({
        method: "POST",
        headers,
        access: wanted,
        body,
        signal: AbortSignal.any([signal, silence.signal]),
        onOpen(status) {
          subscription.status = status;
        },
        receive: (message) => subscription.receive(message),
      });
    } finally {
      clearTimeout(timer);
    }
    if (silence.signal.aborted) throw new PortcullisError("upstream_timeout");
    return signal.aborted ? "ended" : subscription.end();
  };
}

/** What one such stream says. */
class Subscription {
  status = 0;
  readonly #options: ModernListenerOptions;
  readonly #wanted: Wanted;
  readonly #id: number;
  readonly #onOpen: (listening: Listening) => void;
  #isOpen = false;
  #end: StreamEnd = "ended";
  #error: PortcullisError | undefined;

  constructor(
    options: ModernListenerOptions,
    wanted: Wanted,
    id: number,
    onOpen: (listening: Listening) => void,
  ) {
    this.#options = options;
    this.#wanted = wanted;
    this.#id = id;
    this.#onOpen = onOpen;
  }

  receive(message: Message): void {
    const { link } = this.#options;
    if (message.kind === "response") this.#answer(message);
    else if (message.kind !== "notification") link.onDropped("a message on a subscription's stream");
    else if (message.method === "notifications/subscriptions/acknowledged") this.#acknowledge(message.params);
    else if (message.method === "notifications/progress") link.onDropped("progress of no request");
    else if (!this.#pass(message.method, message.params)) link.onDropped("what is of another subscription");
  }

  /** What came of the stream. Throws `upstream_*` where it never was one. */
  end(): StreamEnd {
    if (this.#error !== undefined) throw this.#error;
    if (this.#isOpen) return this.#end;
    const error = statusError(this);
    if (this.status < 400 || error.code !== "upstream_protocol") throw error;
    return this.#refuse(NOT_HONOURED);
  }

  /** A result ends the subscription in good order, to be opened again; an error refuses it. */
  #answer({ id, answer, code }: Extract<Message, { kind: "response" }>): void {
    if (id !== this.#id && this.status < 400) this.#options.link.onDropped("a response with a foreign id");
    else if (answer.kind === "error") {
      if (this.#options.refusesEra({ status: this.status, code })) this.#error = statusError({ status: 503 });
      else this.#refuse(answer.text);
    }
  }

  #acknowledge(params: string): void {
    const { uris, isNothing } = honouredIn(params);
    if (isNothing) this.#end = "unsupported";
    const refused = this.#wanted.uris.filter((uri) => !uris.includes(uri));
    this.#open(new Map(refused.map((uri) => [uri, NOT_HONOURED])));
  }

  #refuse(text: string): StreamEnd {
    this.#end = "unsupported";
    this.#open(new Map(this.#wanted.uris.map((uri) => [uri, text])));
    return this.#end;
  }

  #open(refused: ReadonlyMap<string, string>): void {
    this.#isOpen = true;
    this.#onOpen({ refused });
  }

  /** Without the subscription's id, which is the request's own and says nothing to anyone else. */
  #pass(method: string, params: string): boolean {
    const taken = takeSubscription(params);
    if (taken === undefined ? params.includes("/subscriptionId") : taken.id !== this.#id) return false;
    const list = changedList(method);
    if (list === undefined) this.#wanted.onNotification(method, taken?.params ?? params);
    else this.#options.link.onListChanged(list);
    return true;
  }
}
