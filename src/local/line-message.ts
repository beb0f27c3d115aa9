import { isJsonObject, type Json, type JsonObject } from "../lib/json.ts";
import type { RequestId } from "../lib/rpc.ts";

/** What of a message the transport has to know; whether it is one that is served is the gate's to say. */
export interface LineMessage {
  readonly body: Json;
  /** other: nothing that JSON-RPC knows. */
  readonly kind: "request" | "notification" | "response" | "other";
  readonly id: RequestId | null;
  readonly method: string;
  readonly params: JsonObject;
  /** The revision that its `_meta` claims: then it is modern. */
  readonly claimed: string | undefined;
}

const NOTHING: JsonObject = {};

export function messageOf(body: Json): LineMessage {
  const object = isJsonObject(body) ? body : NOTHING;
  const id = typeof object.id === "string" || typeof object.id === "number" ? object.id : null;
  const method = typeof object.method === "string" ? object.method : "";
  const params = isJsonObject(object.params) ? object.params : NOTHING;
  const meta = isJsonObject(params._meta) ? params._meta : NOTHING;
  const claimed = meta["io.modelcontextprotocol/protocolVersion"];
  return {
    body,
    kind: kindOf(object, id, method),
    id,
    method,
    params,
    claimed: typeof claimed === "string" ? claimed : undefined,
  };
}

function kindOf(object: JsonObject, id: RequestId | null, method: string): LineMessage["kind"] {
  if (method !== "" && object.id === undefined) return "notification";
  if (method !== "" && id !== null) return "request";
  return method === "" && (object.result !== undefined || object.error !== undefined) ? "response" : "other";
}
