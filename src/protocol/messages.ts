import type { ClientAnswer, Era, Exchange } from "../domain.ts";
import { PortcullisError } from "../lib/errors.ts";
import { isJsonObject, type JsonObject } from "../lib/json.ts";
import type { RequestId } from "../lib/rpc.ts";
import { type Envelope, NO_PARAMS, readEnvelope } from "./envelope.ts";
import { type Spoken, versionOf } from "./era.ts";
import { requireStandardHeaders } from "./headers.ts";
import { type Method, type MethodRow, methodRow, type RequestMethod } from "./methods.ts";
import { invalid, shapeless } from "./refusals.ts";
import { isLogLevel, isRequestId, type LogLevel, misshapen, type Shape } from "./shapes.ts";
import { META } from "./versions.ts";

export interface RequestMessage extends Spoken {
  readonly kind: "request";
  readonly id: RequestId;
  readonly method: RequestMethod;
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
export type Received = Pick<Exchange, "body" | "header" | "isLocal">;

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

function answerOf({ result, error }: JsonObject): ClientAnswer {
  return result === undefined
    ? { kind: "error", text: JSON.stringify(error) }
    : { kind: "result", text: JSON.stringify(result) };
}

function readNotification(
  envelope: Envelope & { kind: "notification" },
  spoken: Spoken,
): NotificationMessage {
  const row = methodRow(envelope.method, spoken.era);
  // A request without an id asks for its effect without its answer: it is not carried out.
  if (row?.kind === "request") throw invalid("a request without an id");
  if (row === undefined) throw new PortcullisError("method_unknown");
  requireShape(row, envelope.params);
  return { ...envelope, ...spoken, method: envelope.method as Method, row };
}

function readRequest(
  envelope: Envelope & { kind: "request" },
  spoken: Spoken,
  { header, isLocal }: Received,
): RequestMessage {
  const { id, method, params } = envelope;
  const meta = (params._meta ?? NO_PARAMS) as JsonObject;
  if (spoken.era === "modern") requireModernMeta(meta);
  const row = methodRow(method, spoken.era);
  const name = row?.names === undefined ? undefined : params[row.names.member];
  if (isLocal !== true) requireStandardHeaders({ era: spoken.era, method, name, header });
  if (row?.kind === "notification") throw invalid("a notification with an id");
  if (row === undefined) throw new PortcullisError("method_unknown");
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
    method: method as RequestMethod,
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
  const wrong = misshapen(allowed, params);
  if (wrong !== undefined) throw shapeless(wrong);
}

function alsoAllowed(row: MethodRow, era: Era): Readonly<Record<string, Shape>> {
  if (era === "modern") return row.resumable ? RESUMING : {};
  return row.taskable ? TASK : {};
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
  const wrong = misshapen(row.params ?? {}, params);
  if (wrong !== undefined) throw shapeless(wrong);
}
