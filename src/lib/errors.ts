import { getSystemErrorMap } from "node:util";
import type { JsonObject } from "./json.ts";

interface ErrorRow {
  /** HTTP status of the answer. 200: the refusal travels inside an ordinary JSON-RPC answer. */
  readonly http: number;
  /** JSON-RPC error code. */
  readonly rpc: number;
  /** What the caller is told. It never names what policy hides, nor a cause. */
  readonly text: string;
}

/**
 * Every way a request can be refused or fail. The key is the stable code: in the answer's `data.code`, in the
 * record and in `docs/errors.md`. -320xx below -32000 are of MCP 2026-07-28; -32001…-32009 are ours.
 */
export const ERRORS = {
  // The bytes (http)
  not_found_path: {
    http: 404,
    rpc: -32600,
    text: "There is no MCP server at this path: they are at /mcp/NAME.",
  },
  method_not_allowed: { http: 405, rpc: -32600, text: "Use POST for MCP messages." },
  host_refused: { http: 403, rpc: -32600, text: "This host name is not served here." },
  origin_refused: { http: 403, rpc: -32600, text: "This origin may not call this server." },
  header_repeated: { http: 400, rpc: -32600, text: "A header that must be single is repeated." },
  header_malformed: { http: 400, rpc: -32600, text: "A header is malformed." },
  transfer_encoding_refused: { http: 400, rpc: -32600, text: "This transfer encoding is not accepted." },
  content_type_refused: { http: 415, rpc: -32600, text: "Send application/json in UTF-8, uncompressed." },
  not_acceptable: { http: 406, rpc: -32600, text: "Accept both application/json and text/event-stream." },
  body_too_large: { http: 413, rpc: -32600, text: "The request body is too large." },
  body_incomplete: { http: 400, rpc: -32600, text: "The request body ended early." },
  body_consumed: {
    http: 500,
    rpc: -32603,
    text: "The host application read the request body before Portcullis could.",
  },
  request_timeout: { http: 408, rpc: -32600, text: "The request took too long to arrive." },
  request_pipelined: {
    http: 400,
    rpc: -32600,
    text: "Wait for an answer before you ask again on the same connection.",
  },
  // The JSON (http)
  json_invalid: { http: 400, rpc: -32700, text: "The body is not valid JSON." },
  json_refused: {
    http: 400,
    rpc: -32700,
    text: "The body is JSON that readers could understand differently.",
  },
  // The message (protocol)
  request_invalid: {
    http: 400,
    rpc: -32600,
    text: "The body is not a JSON-RPC request that is accepted here.",
  },
  params_invalid: { http: 400, rpc: -32602, text: "The parameters do not have the shape this method needs." },
  method_unknown: { http: 404, rpc: -32601, text: "This method is not served here." },
  header_mismatch: { http: 400, rpc: -32020, text: "A header and the body disagree." },
  version_unsupported: { http: 400, rpc: -32022, text: "This protocol version is not supported." },
  id_in_use: { http: 400, rpc: -32600, text: "A request with this id is still being answered." },
  session_required: {
    http: 400,
    rpc: -32600,
    text: "Send initialize first, then the Mcp-Session-Id it returned.",
  },
  session_unknown: { http: 404, rpc: -32001, text: "This session does not exist: send initialize again." },
  too_many_sessions: { http: 429, rpc: -32003, text: "Too many open sessions: end one with DELETE." },
  too_many_subscriptions: {
    http: 429,
    rpc: -32003,
    text: "Too many resources are subscribed to: unsubscribe from one first.",
  },
  state_invalid: {
    http: 200,
    rpc: -32602,
    text: "This requestState is not valid for this request any more: send the request anew, without it.",
  },
  capability_missing: {
    http: 400,
    rpc: -32021,
    text: "The client did not declare a capability that this needs.",
  },
  store_unavailable: { http: 503, rpc: -32002, text: "Sessions cannot be looked up right now." },
  // The token (identity)
  token_missing: { http: 401, rpc: -32001, text: "A bearer token is needed." },
  token_invalid: { http: 401, rpc: -32001, text: "The bearer token is not valid here." },
  token_expired: { http: 401, rpc: -32001, text: "The bearer token has expired." },
  token_in_query: {
    http: 400,
    rpc: -32600,
    text: "Send the token in the Authorization header, never in the URL.",
  },
  insufficient_scope: { http: 403, rpc: -32001, text: "The token lacks a scope that is needed here." },
  run_ended: { http: 401, rpc: -32001, text: "This run has ended." },
  run_refused: { http: 403, rpc: -32001, text: "A run cannot be given this, or cannot do this." },
  run_unknown: { http: 404, rpc: -32600, text: "There is no such run." },
  too_many_runs: { http: 429, rpc: -32003, text: "Too many runs are under way: end one with DELETE." },
  tenant_unknown: { http: 403, rpc: -32001, text: "The token's tenant is not known here." },
  tenant_suspended: {
    http: 403,
    rpc: -32001,
    text: "This tenant is suspended: ask the operator of this server.",
  },
  identity_unavailable: { http: 503, rpc: -32002, text: "Tokens cannot be checked right now." },
  // The decision (policy). Unknown and hidden targets get the same answer in the same words.
  not_found: { http: 200, rpc: -32602, text: "There is no such target here." },
  arguments_invalid: { http: 200, rpc: -32602, text: "The arguments do not fit the schema." },
  argument_out_of_bounds: { http: 200, rpc: -32602, text: "An argument is outside its bounds." },
  arguments_too_costly: { http: 200, rpc: -32602, text: "Checking these arguments takes too long." },
  requirement_not_met: { http: 200, rpc: -32004, text: "A requirement of this call does not hold." },
  ambiguous_grant: { http: 200, rpc: -32004, text: "Policy is ambiguous about this call, so it is refused." },
  interaction_refused: {
    http: 200,
    rpc: -32004,
    text: "The server behind this target asked for something that policy does not let it ask.",
  },
  policy_failed: { http: 200, rpc: -32005, text: "Policy could not decide this request, so it is refused." },
  policy_unavailable: { http: 503, rpc: -32002, text: "No policy is loaded, so nothing is served." },
  // The record (audit)
  audit_unavailable: {
    http: 503,
    rpc: -32002,
    text: "The decision log cannot be written, so nothing is served.",
  },
  // The credential
  credential_refused: { http: 200, rpc: -32006, text: "The credential for this call is not permitted." },
  credential_unavailable: {
    http: 503,
    rpc: -32006,
    text: "The credential for this call could not be obtained.",
  },
  credential_rejected: {
    http: 200,
    rpc: -32006,
    text: "The server behind this target did not accept the credential.",
  },
  vault_unreachable: { http: 503, rpc: -32006, text: "The credential store cannot be reached: try again." },
  vault_sealed: {
    http: 503,
    rpc: -32006,
    text: "The credential store is sealed, so there are no credentials.",
  },
  vault_standby: { http: 503, rpc: -32006, text: "The credential store is changing over: try again." },
  vault_timeout: { http: 503, rpc: -32006, text: "The credential store did not answer in time." },
  vault_quota: {
    http: 503,
    rpc: -32006,
    text: "The credential store takes no more requests now: try again later.",
  },
  vault_tenant_locked: { http: 503, rpc: -32006, text: "This tenant's credentials are locked." },
  vault_failed: { http: 503, rpc: -32006, text: "The credential store could not make the credential." },
  vault_denied: { http: 200, rpc: -32006, text: "The credential store does not permit this credential." },
  vault_login_refused: { http: 200, rpc: -32006, text: "The credential store does not know this user." },
  vault_role_unknown: { http: 200, rpc: -32006, text: "The credential store does not have this credential." },
  vault_secret_missing: { http: 200, rpc: -32006, text: "No secret is kept for this user." },
  account_required: { http: 200, rpc: -32042, text: "An account must be connected first: open the link." },
  account_unavailable: {
    http: 503,
    rpc: -32006,
    text: "The connected account for this call cannot be used right now.",
  },
  idp_unavailable: {
    http: 503,
    rpc: -32006,
    text: "The identity provider that issues the credential for this call cannot be reached.",
  },
  idp_refused: {
    http: 200,
    rpc: -32006,
    text: "The identity provider refused the credential for this call.",
  },
  // The upstream
  upstream_unavailable: { http: 200, rpc: -32007, text: "The server behind this target cannot be reached." },
  upstream_timeout: { http: 200, rpc: -32007, text: "The server behind this target did not answer in time." },
  upstream_protocol: {
    http: 200,
    rpc: -32007,
    text: "The server behind this target answered with something that is not MCP.",
  },
  cancelled: { http: 200, rpc: -32008, text: "The request was cancelled." },
  // The gateway itself
  shutting_down: { http: 503, rpc: -32002, text: "This server is shutting down." },
  overloaded: { http: 503, rpc: -32002, text: "Too many requests are waiting: try again." },
  folder_exposed: { http: 500, rpc: -32603, text: "Others could change what this gateway trusts." },
  control_unusable: { http: 500, rpc: -32603, text: "Operators could not reach this gateway." },
  folder_unusable: { http: 500, rpc: -32603, text: "A folder that this gateway needs cannot be used." },
  pins_unusable: { http: 500, rpc: -32603, text: "The pinned definitions cannot be read or kept." },
  listen_failed: { http: 500, rpc: -32603, text: "This gateway cannot listen where it is told to." },
  internal: { http: 500, rpc: -32603, text: "Something went wrong here." },
} as const satisfies Record<string, ErrorRow>;

export type ErrorCode = keyof typeof ERRORS;

export interface ErrorOptions {
  /** Safe to tell the caller: travels in the JSON-RPC error's `data` beside `code`. */
  readonly data?: JsonObject;
  /** A safer or more helpful sentence than the table's, also told to the caller. */
  readonly text?: string;
  /** For the record and the operational log only. */
  readonly reason?: string;
  readonly cause?: unknown;
  /** Extra response headers, such as `WWW-Authenticate`. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** The one error class of the gateway: a stable code; what the caller hears apart from what the log keeps. */
export class PortcullisError extends Error {
  readonly code: ErrorCode;
  readonly text: string;
  readonly data: JsonObject | undefined;
  readonly reason: string;
  readonly headers: Readonly<Record<string, string>>;

  constructor(code: ErrorCode, options: ErrorOptions = {}) {
    super(`${code}: ${options.reason ?? ERRORS[code].text}`, { cause: options.cause });
    this.name = "PortcullisError";
    this.code = code;
    this.text = options.text ?? ERRORS[code].text;
    this.data = options.data;
    this.reason = options.reason ?? "";
    this.headers = options.headers ?? {};
  }

  get row(): ErrorRow {
    return ERRORS[this.code];
  }
}

/** What a throw says of itself, for who runs the gateway. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

/** Why a file could not be read, in the system's words and without its path. */
export function whyUnread(thrown: unknown): string {
  const { errno } = thrown as NodeJS.ErrnoException;
  return (errno === undefined ? undefined : getSystemErrorMap().get(errno)?.[1]) ?? messageOf(thrown);
}

/** What any throw means to the caller: our own errors as they are, everything else `internal`, its cause kept. */
export function toPortcullisError(thrown: unknown): PortcullisError {
  return thrown instanceof PortcullisError ? thrown : new PortcullisError("internal", { cause: thrown });
}
