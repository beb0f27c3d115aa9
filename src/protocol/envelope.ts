import { isJsonObject, type Json, type JsonObject } from "../lib/json.ts";
import type { RequestId } from "../lib/rpc.ts";
import { invalid, shapeless } from "./refusals.ts";
import { isRequestId } from "./shapes.ts";

export type Envelope =
  | { readonly kind: "request"; readonly id: RequestId; readonly method: string; readonly params: JsonObject }
  | { readonly kind: "notification"; readonly method: string; readonly params: JsonObject }
  | { readonly kind: "response"; readonly id: RequestId; readonly body: JsonObject };

const ENVELOPE_MEMBERS: ReadonlySet<string> = new Set(["jsonrpc", "id", "method", "params"]);
const RESPONSE_MEMBERS: ReadonlySet<string> = new Set(["jsonrpc", "id", "result", "error"]);
export const NO_PARAMS: JsonObject = Object.freeze({});

/** Only what every reader takes alike: no batch, no member that one reader knows and another skips. */
export function readEnvelope(body: Json | undefined): Envelope {
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

function requireMembers(body: JsonObject, known: ReadonlySet<string>): void {
  for (const member in body) if (!known.has(member)) throw invalid("an unknown member");
}
