import type { Cancellable } from "../lib/cancellation.ts";
import type { JsonObject } from "../lib/json.ts";
import type { Secret } from "../lib/secret.ts";
import type { Lease } from "./credential.ts";
import type { Era } from "./exchange.ts";
import type { QuestionKind } from "./target.ts";

/** One request to an upstream. The leg adds what its era needs: ids, session, `_meta`, headers. */
export interface UpstreamRequest {
  readonly method: string;
  /** Without the era's own `_meta` keys; `name` is the upstream's name of the target. */
  readonly params: JsonObject;
  /** Of the upstream session: a client session's or a principal's; requests with two keys never share one. */
  readonly sessionKey: string;
  readonly clientInfo: JsonObject | null;
  /** Travels as `Portcullis-Decision` beside the credential; "" for the gateway's own requests. */
  readonly decisionId: string;
  readonly credential: ReadonlyMap<string, Secret>;
  /** The lease that `credential` came from, where it travels in an environment or as a certificate as well. */
  readonly lease?: Lease | undefined;
  /** Who asks, for upstreams whose processes are held apart; absent: the gateway itself. */
  readonly who?: Who;
  readonly signal: Cancellable;
  readonly timeoutMs: number;
  /** The caller's trace context (W3C Trace Context, `traceparent`), well-formed; over HTTP it goes on as that header. */
  readonly traceparent?: string | undefined;
  /** The caller's progress token; the leg sends one of its own and maps it back. */
  readonly progressToken?: string | number | undefined;
  /** Values of `Mcp-Param-*` by header name, unencoded (`lib/param-headers.ts`); only modern upstreams get them. */
  readonly paramHeaders?: ReadonlyMap<string, string> | undefined;
  /**
   * What the upstream may know of the client's capabilities, in the words of either era; null: nothing. It is fixed
   * for the life of a legacy session, and `sessionKey` tells apart what must not share one.
   */
  readonly clientCapabilities?: JsonObject | null;
  /** The least severe log message that the caller wants, in the words of the protocol; absent: none was asked for. */
  readonly logLevel?: string | undefined;
  /** A notification that belongs to this request, with the caller's progress token; `params` is raw JSON text. */
  onNotification?(method: string, params: string): void;
  /** It may well be asked something: where an upstream asks beside its answers, that is listened to. */
  readonly isAskable?: boolean;
  /**
   * A legacy upstream asks its client something while it answers. Absent, or rejected: the upstream is told with an
   * error that its client cannot. `signal` aborts when the upstream no longer waits.
   */
  onQuestion?(question: Question, signal: AbortSignal): Promise<ClientAnswer>;
}

/** Keys, not names: equal for the same tenant, and for the same user of it, or one run of theirs. */
export interface Who {
  readonly tenant: string;
  readonly user: string;
  /** By whom is counted: the user with all their runs. */
  readonly person: string;
}

/** Whose a session or process is; null: nobody's own. */
export type Holder = { readonly [Part in keyof Who]: string | null };

/** A server's question to its client; `params` is raw JSON text. */
export interface Question {
  readonly kind: QuestionKind;
  readonly method: "sampling/createMessage" | "elicitation/create" | "roots/list";
  readonly params: string;
}

/** What the client says to it: the exact text of the `result` or `error` member. */
export interface ClientAnswer {
  readonly kind: "result" | "error";
  readonly text: string;
}

/** What is to be heard from an upstream in one session, outside of any request, until `signal` aborts. */
export interface ListenRequest
  extends Pick<
    UpstreamRequest,
    | "sessionKey"
    | "clientInfo"
    | "clientCapabilities"
    | "decisionId"
    | "credential"
    | "lease"
    | "who"
    | "logLevel"
  > {
  /** Resources whose updates are wanted, by the URIs that the upstream knows. */
  readonly uris: readonly string[];
  readonly signal: AbortSignal;
  /** Log messages, `notifications/resources/updated`, task status: never a list's change, which `onChange` tells. */
  onNotification(method: string, params: string): void;
  /** A question that belongs to no request. */
  onQuestion?(question: Question, signal: AbortSignal): Promise<ClientAnswer>;
}

/** What came of it: the upstream's own error for each URI that it does not let its client subscribe to. */
export interface Listening {
  readonly refused: ReadonlyMap<string, string>;
}

/** The lists that an upstream may announce to have changed. */
export type Listed = "tools" | "resources" | "prompts";

/** The upstream's answer: the exact text of its `result` or `error` member. */
export interface UpstreamAnswer {
  readonly kind: "result" | "error";
  readonly text: string;
  /** The tool's own `isError: true`, or kind "error". */
  readonly isError: boolean;
}

export interface UpstreamIdentity {
  readonly era: Era;
  readonly protocolVersion: string;
  readonly serverInfo: JsonObject;
  readonly capabilities: JsonObject;
  readonly instructions: string;
}

/** An answer, and the era in which it was given. */
export interface UpstreamReply extends UpstreamAnswer {
  readonly era: Era;
}

/** A real MCP server behind the gateway, over Streamable HTTP or stdio. */
export interface Upstream {
  readonly name: string;
  /** Connects if need be and says who answers. Rejects with `upstream_unavailable`. */
  identify(signal: Cancellable): Promise<UpstreamIdentity>;
  /** Rejects with an `upstream_*` PortcullisError or `cancelled`; never retries a request that may have run. */
  request(request: UpstreamRequest): Promise<UpstreamReply>;
  /** Ends what is held under this key (an upstream session). */
  release(sessionKey: string): Promise<void>;
  /** Ends what is held for whoever matches, in use or not. */
  releaseWhere(matches: (holder: Holder) => boolean): Promise<void>;
  /** Tells it that the roots of this session's client changed, where a session is held for that. Never rejects. */
  rootsChanged(sessionKey: string): Promise<void>;
  /**
   * Resolves once it listens, and goes on (reconnecting by itself) until the signal aborts; rejects with `upstream_*`.
   * A session listens once at a time: a second request replaces the first without a gap.
   */
  listen(request: ListenRequest): Promise<Listening>;
  /** Calls back when the upstream announces that one of its lists changed. Returns how to stop. */
  onChange(listener: (what: Listed) => void): () => void;
  close(): Promise<void>;
}
