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

/** A tool, pinned. */
export interface Target extends PolicyTarget {
  /** The name on this virtual server: `name`, or `server__name` where there are several upstreams. */
  readonly exposedName: string;
  /** The definition as announced, member by member, each value as the text that the upstream sent. */
  readonly definition: ReadonlyMap<string, string>;
  /** The tool's inputSchema, parsed. */
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

/** A secret in use. */
export interface Lease {
  /** Milliseconds since the epoch. */
  readonly expires: number;
  /** How it travels. */
  readonly headers: ReadonlyMap<string, Secret>;
  /** SHA-256 of the secret or lease id, for records; null for no credential. */
  readonly sha256: string | null;
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
}
export type LogEntry = DecisionEntry | OutcomeEntry;

/** The decision log as the gate sees it. */
export interface DecisionLog {
  /** The id the next record will have is minted here, so that it can travel beside the credential. */
  newId(): string;
  /** Resolves when the entry is on disk; rejects with `audit_unavailable` when it cannot be. */
  decision(id: string, entry: DecisionEntry): Promise<void>;
  /** Appends without waiting; durable with the next group. */
  outcome(entry: OutcomeEntry): void;
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
  readonly signal: AbortSignal;
  readonly timeoutMs: number;
  /** The caller's progress token; the leg sends one of its own and maps it back. */
  readonly progressToken?: string | number;
  /** Values of `Mcp-Param-*` by header name, unencoded (`lib/param-headers.ts`); only modern upstreams get them. */
  readonly paramHeaders?: ReadonlyMap<string, string>;
  /** A notification that belongs to this request, with the caller's progress token; `params` is raw JSON text. */
  onNotification?(method: string, params: string): void;
}

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
  /** Calls back when the upstream announces that its tools changed. Returns how to stop. */
  onToolsChanged(listener: () => void): () => void;
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
  readonly signal: AbortSignal;
  /** Ends the work for this exchange as if the client had gone away. */
  cancel(): void;
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
  /** One JSON-RPC message as one event; resolves when the client can take more. */
  send(text: string): Promise<void>;
  end(): void;
}
