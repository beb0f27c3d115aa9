import type { IncomingHttpHeaders } from "node:http";
import type { Dispatcher } from "undici";
import type { Lease, Listed, UpstreamAnswer, UpstreamRequest } from "../domain.ts";
import { PortcullisError } from "../lib/errors.ts";
import { changedList } from "./era.ts";
import { type ExchangeLimits, type ExchangeSink, exchange, isEventStream } from "./exchange.ts";
import { type Message, readMessage, restoreToken } from "./message.ts";
import type { ServerRequest } from "./questions.ts";
import { createResumption, type Resumption } from "./resumption.ts";
import type { Ending, Scope } from "./scope.ts";
import type { Backoff } from "./watch.ts";

/** A stream that has given its answer is read a little longer, so that its connection can be used again. */
const LINGER_MS = 1000;
/** How often in a row a broken stream is asked for without bringing anything. */
const MOST_TRIES = 5;

/** With what a request travels. */
export type Access = Pick<UpstreamRequest, "credential" | "lease" | "traceparent">;
export const NOTHING: Access = { credential: new Map() };

export interface Call {
  readonly id: number;
  readonly body: string;
  /** Flat name-value pairs: those of the era, session and content. */
  readonly headers: readonly string[];
  readonly access: Access;
  readonly decisionId: string;
  readonly progressToken?: string | number | undefined;
  /** An event stream that broke, or that the server closed before the answer, may be resumed with GET. */
  readonly isResumable?: boolean;
  /** Whether the upstream waited for its client, so that its silence is no fault. */
  isPatient?(): boolean;
  onNotification?(method: string, params: string): void;
  /** The upstream asks something on this call's stream. */
  onRequest?(request: ServerRequest): void;
  /** The params of the upstream's `notifications/cancelled`. */
  onCancelled?(params: string): void;
  /** The call ended without its answer after it may have begun upstream. */
  onCut?(): void;
}

export interface Outcome {
  readonly status: number;
  readonly answer: UpstreamAnswer | undefined;
  /** JSON-RPC error code of the answer, or 0. */
  readonly code: number;
  /** Value of `Mcp-Session-Id` in the response, or "". */
  readonly session: string;
}

export interface CallerOptions {
  dispatcherOf(lease: Lease | undefined): Dispatcher;
  readonly path: string;
  readonly limits: ExchangeLimits;
  /** Longest silence of an event stream, milliseconds. */
  readonly idleMs: number;
  readonly reconnect: Backoff;
  onListChanged(what: Listed): void;
  /** Something that was not for this call. */
  onDropped(what: string): void;
}

export type Caller = (call: Call, scope: Scope) => Promise<Outcome>;

/** One request as one POST, answered as JSON or as an event stream that ends with the answer. Never sent twice. */
export function createCaller(options: CallerOptions): Caller {
  return (call, scope) =>
    new Promise((resolve, reject) => {
      if (scope.error !== undefined) return reject(scope.error);
      new CallInFlight(options, call, scope, resolve, reject).send();
    });
}

/** A class, since one is made for every call and most parts are seldom used. */
class CallInFlight implements ExchangeSink, Ending {
  readonly #options: CallerOptions;
  readonly #call: Call;
  readonly #scope: Scope;
  readonly #resolve: (outcome: Outcome) => void;
  readonly #reject: (error: PortcullisError) => void;
  #abort = () => {};
  #status = 0;
  #session = "";
  #isStream = false;
  #isSettled = false;
  #taken = 0;
  #timer: NodeJS.Timeout | undefined;
  #resumption: Resumption | undefined;
  #isResumed = false;

  constructor(
    options: CallerOptions,
    call: Call,
    scope: Scope,
    resolve: (outcome: Outcome) => void,
    reject: (error: PortcullisError) => void,
  ) {
    this.#options = options;
    this.#call = call;
    this.#scope = scope;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  send(): void {
    this.#exchange("POST", headersOf(this.#call), this.#call.body);
    this.#scope.ending = this;
  }

  /** The scope did. */
  ended(error: PortcullisError): void {
    this.#abort();
    this.#giveUp(error);
  }

  #exchange(method: "POST" | "GET", headers: string[], body?: string): void {
    const { dispatcherOf, path, limits, idleMs } = this.#options;
    const request = { method, path, headers, idleMs, body };
    this.#abort = exchange(dispatcherOf(this.#call.access.lease), request, limits, this);
  }

  head(status: number, headers: IncomingHttpHeaders): void {
    if (this.#isResumed) this.#resumedHead(status, isEventStream(headers));
    else {
      this.#status = status;
      this.#session = String(headers["mcp-session-id"] ?? "");
      this.#isStream = isEventStream(headers);
    }
  }

  text(text: string): void {
    if (this.#isSettled) return;
    this.#taken += text.length;
    const message = readMessage(text);
    if (this.#taken > this.#options.limits.streamBytes) this.#refuse("the event stream is too long");
    else if (message?.kind === "response") this.#receive(message);
    else if (message !== undefined) this.#passOn(message);
    else if (this.#status < 300) this.#refuse("it sent something that is not JSON-RPC");
  }

  /** A refusal of the request as a whole may not know its id. */
  #receive({ id, answer, code }: Extract<Message, { kind: "response" }>): void {
    const isOwn = id === this.#call.id || (id === null && this.#status >= 400 && answer.kind === "error");
    if (isOwn) this.#settle(answer, code);
    else this.#options.onDropped("a response with a foreign id");
  }

  /** What an upstream says on a call's stream besides the answer. */
  #passOn(message: Exclude<Message, { kind: "response" }>): void {
    if (message.kind === "request") this.#call.onRequest?.(message);
    else this.#hear(message.method, message.params);
  }

  #hear(method: string, params: string): void {
    const call = this.#call;
    const list = changedList(method);
    if (list !== undefined) this.#options.onListChanged(list);
    else if (method === "notifications/cancelled") call.onCancelled?.(params);
    else if (method === "notifications/progress") {
      const restored = restoreToken(params, call.id, call.progressToken);
      if (restored !== undefined) call.onNotification?.(method, restored);
      else this.#options.onDropped("progress of another request");
    } else call.onNotification?.(method, params);
  }

  isPatient(): boolean {
    return this.#call.isPatient?.() === true;
  }

  saw(id: string): void {
    this.#resumable()?.saw(id);
  }

  retry(ms: number): void {
    this.#resumable()?.retry(ms);
  }

  #resumable(): Resumption | undefined {
    if (this.#call.isResumable === true) this.#resumption ??= createResumption(this.#options.reconnect);
    return this.#resumption;
  }

  end(): void {
    this.#lost(undefined);
  }

  fail(error: PortcullisError): void {
    this.#lost(error);
  }

  /** The exchange is over. Without the answer it goes on where it was left, or it was all there is. */
  #lost(error: PortcullisError | undefined): void {
    clearTimeout(this.#timer);
    if (this.#isSettled) return;
    const left = this.#resumption;
    const broke = error === undefined || error.code === "upstream_unavailable";
    if (broke && left?.lastEventId !== undefined && left.tries < MOST_TRIES) {
      this.#timer = setTimeout(() => this.#resume(left), left.nextWait());
    } else if (error === undefined && !this.#isResumed) this.#settle(undefined, 0);
    else this.#giveUp(error ?? unavailable("its stream ended without an answer"));
  }

  #resume({ lastEventId = "" }: Resumption): void {
    this.#isResumed = true;
    this.#exchange("GET", [...headersOf(this.#call), "last-event-id", lastEventId]);
  }

  #resumedHead(status: number, isStream: boolean): void {
    const isResumed = status === 200 && isStream;
    if (isResumed) this.#resumption?.reached();
    else this.#abort();
    if (isBusy(status)) this.#lost(undefined);
    else if (!isResumed) this.#giveUp(unavailable(`its stream broke, and cannot be resumed: HTTP ${status}`));
  }

  #settle(answer: UpstreamAnswer | undefined, code: number): void {
    this.#isSettled = true;
    if (this.#isStream && answer !== undefined) this.#timer = setTimeout(this.#abort, LINGER_MS);
    this.#resolve({ status: this.#status, answer, code, session: this.#session });
  }

  #refuse(reason: string): void {
    this.#abort();
    this.#giveUp(new PortcullisError("upstream_protocol", { reason }));
  }

  #giveUp(error: PortcullisError): void {
    clearTimeout(this.#timer);
    if (this.#isSettled) return;
    this.#isSettled = true;
    if (this.#status !== 0 || this.#scope.error !== undefined) this.#call.onCut?.();
    this.#reject(error);
  }
}

/** The only place where a lease's secret headers are revealed. Nothing of the client's own headers is here. */
export function headersOf(call: Pick<Call, "headers" | "access" | "decisionId">): string[] {
  const headers = [...call.headers];
  if (call.decisionId !== "") headers.push("portcullis-decision", call.decisionId);
  if (call.access.traceparent !== undefined) headers.push("traceparent", call.access.traceparent);
  for (const [name, secret] of call.access.credential) headers.push(name, secret.reveal());
  return headers;
}

/** What an HTTP status means where no JSON-RPC answer came with it. */
export function statusError({ status }: Pick<Outcome, "status">): PortcullisError {
  const reason = status < 300 ? "the response ended without an answer" : `HTTP ${status}`;
  if (status === 401 || status === 403) return new PortcullisError("credential_rejected", { reason });
  return isBusy(status) ? unavailable(reason) : new PortcullisError("upstream_protocol", { reason });
}

function isBusy(status: number): boolean {
  return status === 408 || status === 429 || status >= 500;
}

function unavailable(reason: string): PortcullisError {
  return new PortcullisError("upstream_unavailable", { reason });
}
