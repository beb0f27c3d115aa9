import type { Dispatcher } from "undici";
import type { UpstreamAnswer } from "../domain.ts";
import { PortcullisError } from "../lib/errors.ts";
import type { Log } from "../lib/log.ts";
import type { Secret } from "../lib/secret.ts";
import { type ExchangeLimits, exchange } from "./exchange.ts";
import { answerText, type Message, readMessage, restoreToken } from "./message.ts";
import type { Scope } from "./scope.ts";

/** A stream that has given its answer is read a little longer, so that its connection can be used again. */
const LINGER_MS = 1000;

export interface Call {
  readonly id: number;
  readonly body: string;
  /** Flat name-value pairs: those of the era, session and content. */
  readonly headers: readonly string[];
  readonly credential: ReadonlyMap<string, Secret>;
  readonly decisionId: string;
  readonly progressToken?: string | number;
  onNotification?(method: string, params: string): void;
  /** The upstream asked something on this call's stream; `text` is what it is told. */
  onQuestion?(text: string): void;
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
  readonly dispatcher: Dispatcher;
  readonly path: string;
  readonly limits: ExchangeLimits;
  /** Longest silence of an event stream, milliseconds. */
  readonly idleMs: number;
  readonly log: Log;
  onToolsChanged(): void;
}

export type Caller = (call: Call, scope: Scope) => Promise<Outcome>;

/** One request as one POST, answered as JSON or as an event stream that ends with the answer. */
export function createCaller(options: CallerOptions): Caller {
  const { dispatcher, path, limits, idleMs, log } = options;
  return (call, scope) =>
    new Promise((resolve, reject) => {
      const head = { status: 0, session: "", isStream: false };
      let settled = false;
      let linger: NodeJS.Timeout | undefined;

      function settle(answer: UpstreamAnswer | undefined, code: number): void {
        settled = true;
        if (head.isStream && answer !== undefined) linger = setTimeout(abort, LINGER_MS);
        resolve({ status: head.status, answer, code, session: head.session });
      }
      function fail(error: PortcullisError): void {
        clearTimeout(linger);
        if (settled) return;
        settled = true;
        if (head.status !== 0 || scope.error !== undefined) call.onCut?.();
        reject(error);
      }
      function receive(text: string): void {
        if (settled) return;
        const message = readMessage(text);
        if (message?.kind === "response") {
          if (isAnswer(message, call.id, head.status)) settle(message.answer, message.code);
          else log.warn({}, "dropped a response with a foreign id");
        } else if (message !== undefined) {
          passOn(message, call, options);
        } else if (head.status < 300) {
          abort();
          fail(
            new PortcullisError("upstream_protocol", { reason: "it sent something that is not JSON-RPC" }),
          );
        }
      }

      if (scope.error !== undefined) return reject(scope.error);
      const request = { method: "POST", path, headers: headersOf(call), body: call.body, idleMs } as const;
      const abort = exchange(dispatcher, request, limits, {
        head(status, headers) {
          head.status = status;
          head.session = String(headers["mcp-session-id"] ?? "");
          head.isStream = String(headers["content-type"] ?? "").startsWith("text/event-stream");
        },
        text: receive,
        end() {
          clearTimeout(linger);
          if (!settled) settle(undefined, 0);
        },
        fail,
      });
      scope.whenEnded = (error) => {
        abort();
        fail(error);
      };
    });
}

/** A refusal of the request as a whole may not know its id. */
function isAnswer(
  { id, answer }: Extract<Message, { kind: "response" }>,
  own: number,
  status: number,
): boolean {
  return id === own || (id === null && status >= 400 && answer.kind === "error");
}

/** What an upstream says on a call's stream besides the answer. */
function passOn(
  message: Exclude<Message, { kind: "response" }>,
  call: Call,
  { log, onToolsChanged }: CallerOptions,
): void {
  if (message.kind === "request") {
    call.onQuestion?.(answerText(message));
    return;
  }
  const { method, params } = message;
  if (method === "notifications/tools/list_changed") onToolsChanged();
  else if (method === "notifications/message") call.onNotification?.(method, params);
  else if (method === "notifications/progress") {
    const restored = restoreToken(params, call.id, call.progressToken);
    if (restored !== undefined) call.onNotification?.(method, restored);
    else log.warn({}, "dropped progress of another request");
  } else log.debug({ method: method.slice(0, 64) }, "dropped a notification");
}

/** The only place where a lease's secret is revealed. Nothing of the client's own headers is here. */
export function headersOf(call: Pick<Call, "headers" | "credential" | "decisionId">): string[] {
  const headers = [...call.headers];
  if (call.decisionId !== "") headers.push("portcullis-decision", call.decisionId);
  for (const [name, secret] of call.credential) headers.push(name, secret.reveal());
  return headers;
}

/** What an HTTP status means where no JSON-RPC answer came with it. */
export function statusError({ status }: Outcome): PortcullisError {
  const reason = status < 300 ? "the response ended without an answer" : `HTTP ${status}`;
  if (status === 401 || status === 403) return new PortcullisError("credential_rejected", { reason });
  const busy = status === 408 || status === 429 || status >= 500;
  return new PortcullisError(busy ? "upstream_unavailable" : "upstream_protocol", { reason });
}
