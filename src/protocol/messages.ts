import type { ClientAnswer, Era, Exchange } from "../domain.ts";
import { type ErrorOptions, PortcullisError } from "../lib/errors.ts";
import { isJsonObject, type Json, type JsonObject } from "../lib/json.ts";
import type { RequestId } from "../lib/rpc.ts";
import { requireStandardHeaders } from "./headers.ts";
import { type Method, type MethodRow, methodRow } from "./methods.ts";
import { isLogLevel, isRequestId, type LogLevel, misshapen, type Shape } from "./shapes.ts";
import { ASSUMED_VERSION, isModern, isServed, LEGACY_VERSIONS, META, MODERN_VERSIONS } from "./versions.ts";

interface Spoken {
  readonly era: Era;
  /** The revision that governs the message; a legacy session may have negotiated another. */
  readonly version: string;
}

export interface RequestMessage extends Spoken {
  readonly kind: "request";
  readonly id: RequestId;
  readonly method: Method;
  readonly row: MethodRow;
  /** As sent, frozen, `_meta` included: whoever forwards it sets the keys of `_meta` that are its own. */
  readonly params: JsonObject;
  /** Of a modern request or an initialize; otherwise the session has it. */
  readonly clientInfo: JsonObject | null;
  readonly clientCapabilities: JsonObject | null;
  readonly progressToken?: RequestId | undefined;
  /** The name of the target or task, where the method names one. */
  readonly name?: string | undefined;
  /** Modern, MRTR: the client's answers by the keys it was asked under, and the state it was given with them. */
  readonly inputResponses?: JsonObject | undefined;
  readonly requestState?: string | undefined;
  /** Modern: the least severe log message that this request wants to hear. */
  readonly logLevel?: LogLevel | undefined;
  /** Legacy tools/call: the client wants a task for it. `{ttl?}` */
  readonly task?: JsonObject | undefined;
}

export interface NotificationMessage extends Spoken {
  readonly kind: "notification";
  readonly method: Method;
  readonly row: MethodRow;
  readonly params: JsonObject;
}

/** A client's answer to a server's own question. */
export interface ResponseMessage extends Spoken {
  readonly kind: "response";
  readonly method: "";
  readonly id: RequestId;
  /** Strictly parsed, so that writing it again gives the same value. */
  readonly body: JsonObject;
  readonly answer: ClientAnswer;
}

/** What is refused, with as much of it as could be read: for the answer and for the record. */
export interface RefusedMessage {
  readonly kind: "refused";
  readonly era: Era | "";
  readonly method: string;
  readonly id: RequestId | null;
  readonly error: PortcullisError;
}

export type Message = RequestMessage | NotificationMessage | ResponseMessage | RefusedMessage;

/** What reading a message needs of an exchange. */
export type Received = Pick<Exchange, "body" | "header">;

/** Reads the one JSON-RPC message of a POST in either era, or says why it is refused. Never throws. */
export function readMessage(received: Received): Message {
  const { body } = received;
  const method = isJsonObject(body) && typeof body.method === "string" ? body.method : "";
  const id = isJsonObject(body) && isRequestId(body.id) ? body.id : null;
  let era: Era | "" = "";
  try {
    const envelope = readEnvelope(body);
    const spoken = versionOf(envelope, received);
    era = spoken.era;
    if (envelope.kind === "response")
      return { ...envelope, ...spoken, method: "", answer: answerOf(envelope.body) };
    if (envelope.kind === "notification") return readNotification(envelope, spoken);
    return readRequest(envelope, spoken, received);
  } catch (thrown) {
    if (!(thrown instanceof PortcullisError)) throw thrown;
    return { kind: "refused", era, method: method.slice(0, 128), id, error: thrown };
  }
}

// ---------------------------------------------------------------- the JSON-RPC envelope

type Envelope =
  | { readonly kind: "request"; readonly id: RequestId; readonly method: string; readonly params: JsonObject }
  | { readonly kind: "notification"; readonly method: string; readonly params: JsonObject }
  | { readonly kind: "response"; readonly id: RequestId; readonly body: JsonObject };

const ENVELOPE_MEMBERS: ReadonlySet<string> = new Set(["jsonrpc", "id", "method", "params"]);
const RESPONSE_MEMBERS: ReadonlySet<string> = new Set(["jsonrpc", "id", "result", "error"]);
const NO_PARAMS: JsonObject = Object.freeze({});

/** Only what every reader takes alike: no batch, no member that one reader knows and another skips. */
function readEnvelope(body: Json | undefined): Envelope {
  if (!isJsonObject(body)) throw invalid(Array.isArray(body) ? "a batch" : "not an object");
  if (body.jsonrpc !== "2.0") throw invalid("jsonrpc is not 2.0");
  const { id, method, params = NO_PARAMS } = body;
  if (id !== undefined && !isRequestId(id))
    throw invalid("the id is neither an integer nor a string of at most 256 characters");
  if (method === undefined) {
    requireMembers(body, RESPONSE_MEMBERS);
    const answers = isJsonObject(body.result) !== isJsonObject(body.error);
    if (id === undefined || !answers) throw invalid("neither a request nor a response");
    return { kind: "response", id, body };
  }
  requireMembers(body, ENVELOPE_MEMBERS);
  if (typeof method !== "string") throw invalid("the method is not a string");
  if (!isJsonObject(params)) throw invalid("params is not an object");
  if (params._meta !== undefined && !isJsonObject(params._meta)) throw shapeless("_meta is not an object");
  return id === undefined
    ? { kind: "notification", method, params }
    : { kind: "request", id, method, params };
}

function answerOf({ result, error }: JsonObject): ClientAnswer {
  return result === undefined
    ? { kind: "error", text: JSON.stringify(error) }
    : { kind: "result", text: JSON.stringify(result) };
}

function requireMembers(body: JsonObject, known: ReadonlySet<string>): void {
  for (const member in body) if (!known.has(member)) throw invalid("an unknown member");
}

function invalid(reason: string): PortcullisError {
  return new PortcullisError("request_invalid", { reason, text: `The message is not accepted: ${reason}.` });
}

function shapeless(reason: string, options: ErrorOptions = {}): PortcullisError {
  return new PortcullisError("params_invalid", { reason, text: `Invalid params: ${reason}.`, ...options });
}

// ---------------------------------------------------------------- the era

/**
 * Which era speaks, by the rule of the SDK's own servers: `_meta` decides, the header must agree with it.
 * A modern header without the `_meta` it needs is no legacy message but a broken modern one.
 */
function versionOf(envelope: Envelope, { header }: Received): Spoken {
  const named = header("mcp-protocol-version");
  const meta = envelope.kind === "response" ? undefined : (envelope.params._meta as JsonObject | undefined);
  const claimed = meta?.[META.protocolVersion];
  if (claimed !== undefined) return modernVersion(claimed, named);
  if (named === undefined) return { era: "legacy", version: ASSUMED_VERSION };
  if (!isModern(named)) {
    if (!isServed(LEGACY_VERSIONS, named)) throw unsupported(named, LEGACY_VERSIONS);
    return { era: "legacy", version: named };
  }
  // It may mean either era.
  if (!isServed(MODERN_VERSIONS, named)) throw unsupported(named, [...MODERN_VERSIONS, ...LEGACY_VERSIONS]);
  if (envelope.kind !== "request") return modernVersion(named, named);
  if (envelope.method === "initialize")
    throw mismatch("initialize is not of the revision in MCP-Protocol-Version");
  throw shapeless(`_meta lacks ${META.protocolVersion}`, { data: { missing: [META.protocolVersion] } });
}

function modernVersion(claimed: Json, named: string | undefined): Spoken {
  if (typeof claimed !== "string") throw shapeless(`${META.protocolVersion} is not a string`);
  if (named !== undefined && named !== claimed) throw mismatch("MCP-Protocol-Version and _meta disagree");
  if (!isServed(MODERN_VERSIONS, claimed)) throw unsupported(claimed, MODERN_VERSIONS);
  return { era: "modern", version: claimed };
}

function mismatch(reason: string): PortcullisError {
  return new PortcullisError("header_mismatch", { reason, text: `Headers and body disagree: ${reason}.` });
}

function unsupported(requested: string, supported: readonly string[]): PortcullisError {
  return new PortcullisError("version_unsupported", {
    data: { supported, requested: requested.slice(0, 64) },
  });
}

// ---------------------------------------------------------------- the message

function readNotification(
  envelope: Envelope & { kind: "notification" },
  spoken: Spoken,
): NotificationMessage {
  const row = methodRow(envelope.method, spoken.era);
  // A request without an id asks for its effect without its answer: it is not carried out.
  if (row?.kind === "request") throw invalid("a request without an id");
  if (row === undefined) throw unknownMethod();
  requireShape(row, envelope.params);
  return { ...envelope, ...spoken, method: envelope.method as Method, row };
}

function readRequest(
  envelope: Envelope & { kind: "request" },
  spoken: Spoken,
  { header }: Received,
): RequestMessage {
  const { id, method, params } = envelope;
  const meta = (params._meta ?? NO_PARAMS) as JsonObject;
  if (spoken.era === "modern") requireModernMeta(meta);
  const row = methodRow(method, spoken.era);
  const name = row?.names === undefined ? undefined : params[row.names.member];
  requireStandardHeaders({ era: spoken.era, method, name, header });
  if (row?.kind === "notification") throw invalid("a notification with an id");
  if (row === undefined) throw unknownMethod();
  requireShape(row, params);
  requireNoStrays(row, spoken.era, params);
  const { progressToken } = meta;
  if (progressToken !== undefined && !isRequestId(progressToken))
    throw shapeless("progressToken is malformed");
  const initialize = method === "initialize";
  const extras = extrasOf(spoken.era, params, meta);
  // Member by member: one is made for every call.
  return {
    kind: "request",
    era: spoken.era,
    version: spoken.version,
    id,
    method: method as Method,
    row,
    params,
    clientInfo: ((initialize ? params.clientInfo : meta[META.clientInfo]) ?? null) as JsonObject | null,
    clientCapabilities: ((initialize ? params.capabilities : meta[META.clientCapabilities]) ??
      null) as JsonObject | null,
    progressToken,
    name: typeof name === "string" ? name : undefined,
    inputResponses: extras.inputResponses,
    requestState: extras.requestState,
    logLevel: extras.logLevel,
    task: extras.task,
  };
}

type Extras = Pick<RequestMessage, "inputResponses" | "requestState" | "logLevel" | "task">;

/** What only one era's requests have. Their shapes were checked. */
function extrasOf(era: Era, { inputResponses, requestState, task }: JsonObject, meta: JsonObject): Extras {
  if (era === "legacy") return { task: task as JsonObject | undefined };
  const logLevel = meta[META.logLevel];
  if (logLevel !== undefined && !isLogLevel(logLevel)) throw shapeless(`${META.logLevel} is malformed`);
  return {
    inputResponses: inputResponses as JsonObject | undefined,
    requestState: requestState as string | undefined,
    logLevel,
  };
}

const RESUMING = { inputResponses: "responses?", requestState: "state?" } as const;
const TASK = { task: "task?" } as const;
const STRAYS = ["inputResponses", "requestState", "task"] as const;

/**
 * Members that mean something to one era or to some methods only are refused elsewhere: an upstream of the other era
 * would take them for what the gateway never looked at.
 */
function requireNoStrays(row: MethodRow, era: Era, params: JsonObject): void {
  const allowed = alsoAllowed(row, era);
  for (const member of STRAYS) {
    if (params[member] === undefined) continue;
    const known = Object.hasOwn(allowed, member) || Object.hasOwn(row.params ?? {}, member);
    if (!known) throw shapeless(`${member} does not belong here`);
  }
  const member = misshapen(allowed, params);
  if (member !== undefined) throw shapeless(`${member} is malformed`);
}

function alsoAllowed(row: MethodRow, era: Era): Readonly<Record<string, Shape>> {
  if (era === "modern") return row.resumable ? RESUMING : {};
  return row.action === "call" ? TASK : {};
}

function requireModernMeta(meta: JsonObject): void {
  const capabilities = meta[META.clientCapabilities];
  const info = meta[META.clientInfo];
  if (!isJsonObject(capabilities)) {
    const data = { missing: [META.clientCapabilities] };
    throw shapeless(`_meta lacks ${META.clientCapabilities}`, { data });
  }
  if (info !== undefined && !isJsonObject(info)) throw shapeless(`${META.clientInfo} is not an object`);
}

function requireShape(row: MethodRow, params: JsonObject): void {
  const member = misshapen(row.params ?? {}, params);
  if (member !== undefined) throw shapeless(`${member} is missing or malformed`);
}

function unknownMethod(): PortcullisError {
  return new PortcullisError("method_unknown");
}
