/**
 * The words that the rooms hand each other. Types only: a stage imports this file and `lib/`, never another stage.
 */
import type { ErrorCode } from "./lib/errors.ts";
import type { Json, JsonObject } from "./lib/json.ts";
import type { ParamHeader } from "./lib/param-headers.ts";
import type { Secret } from "./lib/secret.ts";

export type { ParamHeader };

/** legacy: MCP up to 2025-11-25, stateful. modern: 2026-07-28, stateless. */
export type Era = "legacy" | "modern";

// ---------------------------------------------------------------- who asks

/** Who asks. Total and typed: an absent claim has the empty value. No credential in it. */
export interface Principal {
  readonly kind: "user" | "service";
  readonly issuer: string;
  readonly subject: string;
  /** The tenant acted on. */
  readonly tenant: string;
  readonly home_tenant: string;
  readonly roles: readonly string[];
  readonly scopes: readonly string[];
  /** OAuth client id, or "". */
  readonly client: string;
  /** Seconds since the epoch, or 0. */
  readonly auth_time: number;
  readonly acr: string;
  readonly amr: readonly string[];
  readonly actor: string;
  readonly run: null | { readonly id: string; readonly expires: number };
  /** Directory attributes, looked up by identity. */
  readonly attributes: JsonObject;
}

/** The tenant's record: whatever the operator's schema says, and its id. */
export interface TenantRecord extends JsonObject {
  readonly id: string;
}

/** A verified token's bearer: the principal, its tenant's record, and until when (seconds since the epoch). */
export interface Identity {
  readonly principal: Principal;
  readonly tenant: TenantRecord;
  readonly expires: number;
  /** Digest of principal and tenant record, for cache keys. */
  readonly digest: string;
}

// ---------------------------------------------------------------- what is asked for

export type TargetKind =
  | "tool"
  | "resource"
  | "template"
  | "prompt"
  | "server"
  | "sampling"
  | "elicitation"
  | "roots";

/** A target's identity: three parts, compared as three parts, never as a joined string. */
export interface TargetId {
  readonly upstream: string;
  readonly kind: TargetKind;
  readonly name: string;
}

/** What policy sees of a target (`input.target`). */
export interface PolicyTarget extends TargetId {
  /** From configuration only, sorted. */
  readonly labels: readonly string[];
  /** What the server says of itself: untrusted. `{title, description, annotations}` as announced. */
  readonly announced: JsonObject;
}

/** The kinds that upstreams list. */
export type ListedKind = "tool" | "resource" | "template" | "prompt";

/** What a server may ask of a client; a grant's `interaction` names what it allows. */
export type QuestionKind = "sampling" | "elicitation" | "roots";

/**
 * A target, pinned. What no upstream lists (an upstream itself, its questions, a resource that was only linked to) is a
 * target too, with nothing announced.
 */
export interface Target extends PolicyTarget {
  /**
   * The name on this virtual server. Tools and prompts: `name`, or `upstream__name` where there are several upstreams.
   * A resource: its URI, a template: its uriTemplate, with the upstream in them where there are several.
   */
  readonly exposedName: string;
  /** The definition as announced, member by member, each value as the text that the upstream sent. */
  readonly definition: ReadonlyMap<string, string>;
  /**
   * What arguments are checked against: a tool's inputSchema; of a prompt or a template an object of strings; of
   * anything else an object without members.
   */
  readonly inputSchema: JsonObject;
  /** Arguments that a modern upstream wants repeated in `Mcp-Param-*` headers. */
  readonly paramHeaders?: readonly ParamHeader[];
  /** SHA-256 over identity, labels and canonical definition: changes whenever policy or caller could see a change. */
  readonly digest: string;
}

// ---------------------------------------------------------------- what policy says

/** A bound on one argument: a closed set of JSON Schema keywords and four of our own. */
export interface Bound {
  readonly type?: string | readonly string[];
  readonly enum?: readonly Json[];
  readonly const?: Json;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly exclusiveMaximum?: number;
  readonly multipleOf?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  /** RE2; must match the whole string. */
  readonly pattern?: string;
  readonly format?: string;
  readonly items?: Bound;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly uniqueItems?: boolean;
  readonly properties?: Bounds;
  /** For `properties`: false refuses every property it does not name. */
  readonly others?: boolean;
  /** The argument must be absent. */
  readonly forbidden?: true;
  /** The argument may be absent; otherwise a bounded argument must be present. */
  readonly optional?: boolean;
  /** Injected by the gateway; the caller neither sees nor sends it. */
  readonly set?: Json;
}
export type Bounds = Readonly<Record<string, Bound>>;

export interface CredentialChoice {
  readonly source: string;
  readonly role?: string;
  /** Seconds. */
  readonly ttl?: number;
}

export type Layer = "platform" | "tenant";

/** Opens a target within argument bounds, under named requirements, with a named credential. */
export interface Grant {
  readonly layer: Layer;
  readonly reason: string;
  readonly rank: number;
  readonly arguments: Bounds;
  /** false: arguments that are not bounded are refused. */
  readonly others: boolean;
  readonly requires: readonly string[];
  readonly credential: CredentialChoice | null;
  readonly interaction: readonly string[];
}

/** Bounds and requirements that hold for every grant. */
export interface Limit {
  readonly layer: Layer;
  readonly arguments: Bounds;
  readonly requires: readonly string[];
  /** true: a bounded argument that the target does not declare closes the target. */
  readonly mustExist: boolean;
}

/** Grants, limits and denials of one principal for one target: what listing and calling both ask for. */
export interface Capability {
  readonly grants: readonly Grant[];
  readonly limits: readonly Limit[];
  /** Not empty: the target is closed. Told to the record only. */
  readonly denials: readonly string[];
  /** What was malformed or failed on the way; a fault of a limit or a denial is in `denials` too. */
  readonly faults: readonly string[];
}

export interface Revision {
  readonly platform: string;
  /** "" where the tenant has no policies of its own. */
  readonly tenant: string;
}

/** `input` of a capability evaluation, less the target. */
export interface PolicyContext {
  readonly principal: Principal;
  readonly tenant: TenantRecord;
  /** The virtual server. */
  readonly server: string;
  /** Seconds since the epoch, floored to the tick: one reading for all evaluations of a decision. */
  readonly now: number;
}

/** A requirement, as its METADATA describes it: told to the caller when it does not hold. */
export interface Requirement {
  readonly layer: Layer;
  readonly name: string;
  readonly title: string;
  readonly stepUp: null | { readonly max_age?: number; readonly scope?: string };
}

/** The answer to one tools/call. */
export type CallDecision =
  | {
      readonly effect: "allow";
      readonly grant: Grant;
      /** What is forwarded: the caller's arguments with `set` values injected. */
      readonly arguments: JsonObject;
      readonly requirements: Readonly<Record<string, boolean>>;
    }
  | {
      readonly effect: "deny";
      readonly code: ErrorCode;
      /** For the caller, in words that let it correct itself. */
      readonly text?: string;
      readonly data?: JsonObject;
      /** For the record only. */
      readonly reasons: readonly string[];
      readonly grant: Grant | null;
      readonly requirements: Readonly<Record<string, boolean>>;
    };

// ---------------------------------------------------------------- credential

/** A client certificate with its key, for mutual TLS; PEM. */
export interface ClientCertificate {
  readonly certificate: string;
  readonly key: Secret;
}

/** A secret in use. It travels in request headers, in the environment of a child of its own, or as a certificate. */
export interface Lease {
  /** Milliseconds since the epoch. */
  readonly expires: number;
  readonly headers: ReadonlyMap<string, Secret>;
  readonly env?: ReadonlyMap<string, Secret>;
  readonly certificate?: ClientCertificate;
  /** What of it must never come back in an answer, beside what headers carry; absent: all of the environment. */
  readonly secrets?: readonly Secret[];
  /** SHA-256 of the secret or lease id, for records; null for no credential. */
  readonly sha256: string | null;
  /** It is in use, and renewed meanwhile, until the returned function is called. Absent: it cannot be renewed. */
  hold?(): () => void;
  /** The upstream did not accept it: what its source shares between leases is handed out no more. */
  rejected?(): void;
  revoke(): Promise<void>;
}

// ---------------------------------------------------------------- record

/** One line of the decision log before the log gives it seq, id and time. `shapes`: v 1. */
export interface DecisionEntry {
  readonly phase: "decision";
  readonly server: string;
  readonly era: Era | "";
  readonly method: string;
  readonly rpc_id: string | number | null;
  readonly client_ip: string;
  readonly revision: Revision;
  readonly principal: Principal | null;
  readonly target: TargetId | null;
  readonly arguments: JsonObject | null;
  readonly arguments_sha256: string;
  readonly context: { readonly now: number };
  readonly effect: "allow" | "deny" | "error";
  readonly code: ErrorCode | "ok";
  readonly grant: Grant | null;
  readonly requirements: Readonly<Record<string, boolean>>;
  readonly reasons: readonly string[];
  readonly trace_id: string;
  /** Digests of the tenant's record and of the pinned target: with them the decision can be made again. */
  readonly tenant_sha256?: string;
  readonly target_sha256?: string;
  /** Of a question within a call: the id of the call's decision. */
  readonly within?: string;
  /**
   * What is asked for, where the target does not say it: the canonical URI of a read or subscription, the argument that is
   * completed, the id of a task.
   */
  readonly named?: string;
  /** Of a read: every other target that its URI matches, decided with it. */
  readonly matched?: readonly TargetId[];
  /** Digests of those, in the same order. */
  readonly matched_sha256?: readonly string[];
  /** Of a list only. */
  readonly listed?: number;
  readonly of?: number;
  readonly targets_sha256?: string;
  /** More than 1: this many like refusals of one source in one second, counted together. */
  readonly count?: number;
}

export interface OutcomeEntry {
  readonly phase: "outcome";
  /** Id of the decision's record. */
  readonly decision: string;
  /** ok, the error code of a failure, or `unknown` for an orphan found at recovery. */
  readonly status: string;
  readonly is_error: boolean;
  readonly ms: number;
  readonly bytes: number;
  readonly lease_sha256: string | null;
  /** Parts of the answer that policy hides from this principal and that were left out. */
  readonly withheld?: number;
}

/** What became of a lease after it was minted; each use of it is in the outcome of the call. */
export interface LeaseEntry {
  readonly phase: "lease";
  /** dropped: no longer used here; its source cannot end it early, or it had expired. */
  readonly event: "minted" | "renewed" | "revoked" | "dropped" | "revocation_failed";
  /** Id of the decision that it was minted for. */
  readonly decision: string;
  readonly lease_sha256: string;
  /** Milliseconds since the epoch. */
  readonly expires: number;
  /** Whose it is: tenant, issuer, subject, and the run's id or "". */
  readonly tenant: string;
  readonly issuer: string;
  readonly subject: string;
  readonly run: string;
  readonly source: string;
  readonly role: string;
  readonly upstream: string;
  /** The virtual server of the call that it was minted for. */
  readonly server: string;
  readonly revision: Revision;
  /** The source's own id of the request, as in Vault's audit log; "" where there is none. */
  readonly request_id: string;
  /** Why it was revoked or dropped; of a failure the error code. */
  readonly reason: string;
}
export type LogEntry = DecisionEntry | OutcomeEntry | LeaseEntry;

/** What a decision was made on besides what its record says itself. */
export interface DecisionInputs {
  /** Of `tenant_sha256`. */
  readonly tenant?: TenantRecord;
  /** Of `target_sha256` and `matched_sha256`. */
  readonly targets?: readonly Target[];
}

/** An input, in each segment of the log once and before the first record that names its digest. */
export interface InputEntry {
  readonly phase: "input";
  readonly kind: "tenant" | "target";
  readonly sha256: string;
  /**
   * The tenant's record; or `{upstream, kind, name, labels, announced, definition}` of a target, with `inputSchema` where
   * the definition as announced has none.
   */
  readonly value: JsonObject;
}

/** The decision log as the gate sees it. */
export interface DecisionLog {
  /** The id the next record will have is minted here, so that it can travel beside the credential. */
  newId(): string;
  /** Resolves when the entry is on disk; rejects with `audit_unavailable` when it cannot be. */
  decision(id: string, entry: DecisionEntry, inputs?: DecisionInputs): Promise<void>;
  /** Appends without waiting; durable with the next group. */
  outcome(entry: OutcomeEntry): void;
  /** The same for what became of a lease. */
  lease(entry: LeaseEntry): void;
  /** false once a write has failed: readiness fails, nothing is served. */
  readonly healthy: boolean;
  close(): Promise<void>;
}

// ---------------------------------------------------------------- upstream

/** One request to an upstream. The leg adds what its era needs: ids, session, `_meta`, headers. */
export interface UpstreamRequest {
  readonly method: string;
  /** Without the era's own `_meta` keys; `name` is the upstream's name of the target. */
  readonly params: JsonObject;
  /** Who owns the upstream session: a client session or a principal; requests of two owners never share one. */
  readonly owner: string;
  readonly clientInfo: JsonObject | null;
  /** Travels as `Portcullis-Decision` beside the credential; "" for the gateway's own requests. */
  readonly decisionId: string;
  readonly credential: ReadonlyMap<string, Secret>;
  /** The lease that `credential` came from, where it travels in an environment or as a certificate as well. */
  readonly lease?: Lease;
  /** Who asks, for upstreams whose processes are held apart; absent: the gateway itself. */
  readonly who?: Who;
  readonly signal: AbortSignal;
  readonly timeoutMs: number;
  /** The caller's trace context (W3C Trace Context, `traceparent`), well-formed; over HTTP it goes on as that header. */
  readonly traceparent?: string;
  /** The caller's progress token; the leg sends one of its own and maps it back. */
  readonly progressToken?: string | number;
  /** Values of `Mcp-Param-*` by header name, unencoded (`lib/param-headers.ts`); only modern upstreams get them. */
  readonly paramHeaders?: ReadonlyMap<string, string>;
  /**
   * What the upstream may know of the client's capabilities, in the words of either era; null: nothing. It is fixed
   * for the life of an owner's legacy session, and `owner` tells apart what must not share one.
   */
  readonly clientCapabilities?: JsonObject | null;
  /** The least severe log message that the caller wants, in the words of the protocol; absent: none was asked for. */
  readonly logLevel?: string;
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

/** Keys, not names: equal for the same tenant, and for the same user of it. */
export interface Who {
  readonly tenant: string;
  readonly user: string;
}

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

/** What one owner wants to hear from an upstream outside of any request, until `signal` aborts. */
export interface ListenRequest
  extends Pick<
    UpstreamRequest,
    "owner" | "clientInfo" | "clientCapabilities" | "decisionId" | "credential" | "lease" | "who" | "logLevel"
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
  identify(signal: AbortSignal): Promise<UpstreamIdentity>;
  /** Rejects with an `upstream_*` PortcullisError or `cancelled`; never retries a request that may have run. */
  request(request: UpstreamRequest): Promise<UpstreamReply>;
  /** Ends what is held for this owner (an upstream session). */
  release(owner: string): Promise<void>;
  /** Tells it that the roots of this owner's client changed, where a session is held for that. Never rejects. */
  rootsChanged(owner: string): Promise<void>;
  /**
   * Resolves once it listens, and goes on (reconnecting by itself) until the signal aborts; rejects with `upstream_*`.
   * An owner listens once at a time: a second request replaces the first without a gap.
   */
  listen(request: ListenRequest): Promise<Listening>;
  /** Calls back when the upstream announces that one of its lists changed. Returns how to stop. */
  onChange(listener: (what: Listed) => void): () => void;
  close(): Promise<void>;
}

// ---------------------------------------------------------------- what replicas share

/**
 * What outlives a request and is the same for every replica: in memory where there is one, in Valkey where there are
 * several. Keys and values are text; whoever puts a secret into a value seals it first. Rejects with
 * `store_unavailable`.
 */
export interface SharedStore {
  get(key: string): Promise<string | undefined>;
  /** Like `get`, and lets it live `ttlMs` from now. */
  touch(key: string, ttlMs: number): Promise<string | undefined>;
  set(key: string, value: string, ttlMs: number): Promise<void>;
  /** Only if there is none: false if there was. A lock is this with a short life. */
  add(key: string, value: string, ttlMs: number): Promise<boolean>;
  /** Only if it still is `before`: false if not. */
  replace(key: string, before: string, value: string, ttlMs: number): Promise<boolean>;
  delete(key: string): Promise<boolean>;
  /** Adds a member that lives `ttlMs`, unless `max` others live already: false. A member again: its life is renewed. */
  join(set: string, member: string, ttlMs: number, max: number): Promise<boolean>;
  leave(set: string, member: string): Promise<void>;
  /** Those that live. */
  members(set: string): Promise<readonly string[]>;
  /** Appends to a log, which drops its oldest beyond the limits; gives the entry's place: 1, 2, … */
  append(
    log: string,
    value: string,
    limits: { readonly entries: number; readonly bytes: number },
    ttlMs: number,
  ): Promise<number>;
  /** The entries after a place, oldest first; undefined when some of them are gone already, or it never got there. */
  after(
    log: string,
    place: number,
  ): Promise<readonly { readonly place: number; readonly value: string }[] | undefined>;
  /** To every replica that listens, this one included; at most once, in order. */
  publish(channel: string, message: string): Promise<void>;
  /** Never rejects: while the store is away nothing is heard, and then again. */
  subscribe(channel: string, listener: (message: string) => void): Promise<() => Promise<void>>;
  /** false: its server does not answer. */
  readonly healthy: boolean;
  close(): Promise<void>;
}

// ---------------------------------------------------------------- http

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
  /** Aborted when the client goes away, or by `cancel`. */
  /** It came over a pair of pipes: there are no headers in which a client repeats its message for proxies. */
  readonly isLocal?: true;
  readonly signal: AbortSignal;
  /** Ends the work for this exchange as if the client had gone away. */
  cancel(): void;
  /** From now on the work goes on when the client goes away: `gone` is told instead. */
  outlive(gone: () => void): void;
  readonly reply: Reply;
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
