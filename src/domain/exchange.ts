import type { Cancellable } from "../lib/cancellation.ts";
import type { ErrorCode } from "../lib/errors.ts";
import type { Json } from "../lib/json.ts";

/** legacy: MCP up to 2025-11-25, stateful. modern: 2026-07-28, stateless. */
export type Era = "legacy" | "modern";

/** One HTTP request on a guarded URL, after the edge has checked its bytes. */
export interface Exchange {
  /** The virtual server's name, from the path. */
  readonly server: string;
  readonly verb: "POST" | "GET" | "DELETE";
  /** A header's single value, by lower-case name. Repeated critical headers were refused already. */
  header(name: string): string | undefined;
  readonly clientIp: string;
  /** The strictly parsed, deeply frozen body; undefined unless POST. */
  readonly body: Json | undefined;
  /** It came over a pair of pipes: there are no headers in which a client repeats its message for proxies. */
  readonly isLocal?: true;
  /** Aborted when the client goes away, or by `cancel`. */
  readonly signal: Cancellable;
  /** Ends the work for this exchange as if the client had gone away. */
  cancel(): void;
  /** From now on the work goes on when the client goes away: `gone` is told instead. */
  outlive(gone: () => void): void;
  /** Calls back when the answer has left this process, or its client has gone: until then it takes room here. */
  whenOver(told: () => void): void;
  readonly reply: Reply;
}

/** What was refused before it became an exchange: nothing of it reached the gate. */
export interface Refusal {
  /** The virtual server, or "" where the request named none. */
  readonly server: string;
  readonly code: ErrorCode;
  readonly clientIp: string;
  readonly reason: string;
}

/** How an exchange is answered, once. */
export interface Reply {
  /** A JSON body as text. */
  json(status: number, text: string, headers?: Readonly<Record<string, string>>): void;
  empty(status: number, headers?: Readonly<Record<string, string>>): void;
  /** Starts an event stream. */
  stream(headers?: Readonly<Record<string, string>>): EventStream;
}

export interface EventStream {
  /**
   * One JSON-RPC message as one event, with its id if it can be asked for again; resolves when the client can take more.
   * An empty text with an id primes the stream: only for clients of 2025-11-25 and later.
   */
  send(text: string, eventId?: string): Promise<void>;
  end(): void;
  /** Resolves when it has ended, from whichever side. */
  readonly closed: Promise<void>;
}
