import type { CallDecision } from "../domain.ts";
import { PortcullisError } from "../lib/errors.ts";
import { isJsonObject, type JsonObject } from "../lib/json.ts";
import type { Ask } from "./ask.ts";
import type { Match } from "./decision.ts";
import type { Rooms } from "./rooms.ts";

/** How a request goes on from an earlier one of the same client for the same thing. */
export type Resumption =
  /** The call still runs, at that replica. */
  | { readonly kind: "held"; readonly node: string; readonly call: string; readonly responses: JsonObject }
  /** The upstream keeps its own state in the client's hands; null: none. */
  | { readonly kind: "upstream"; readonly state: string | null; readonly responses: JsonObject }
  /** What was missing may be there now: the call is made anew. */
  | { readonly kind: "again" };

type Refused = { readonly kind: "refused"; readonly decision: Extract<CallDecision, { effect: "deny" }> };

/** Long enough for a person to answer a question. Milliseconds. */
export const STATE_MS = 10 * 60_000;

const PURPOSE = "requestState";

/**
 * The `requestState` of a turn: sealed, and good for this principal, run, virtual server, target and arguments alone, so
 * that nobody can go on with another's call, nor with another call than was decided.
 */
export function sealState(ask: Ask, rooms: Rooms, subject: Subject, state: JsonObject): string {
  return rooms.seal.seal(PURPOSE, { ...state, bound: boundTo(ask, subject) }, rooms.clock() + STATE_MS);
}

interface Subject {
  readonly target: { readonly digest: string };
  /** Of the arguments. */
  readonly sha256: string;
}

function boundTo(ask: Ask, { target, sha256 }: Subject): string {
  return JSON.stringify([ask.principalKey, ask.seen.server, ask.message.method, target.digest, sha256]);
}

/** Reads what a request brings back; null: it begins anew. */
export function resumed(
  ask: Ask,
  rooms: Rooms,
  { target }: Match,
  sha256: string,
): Resumption | Refused | null {
  const { requestState, inputResponses, inputResponses: responses = {} } = ask.message;
  // Answers that a client gives unasked: the upstream may take them, as it would without a gateway.
  if (requestState === undefined)
    return inputResponses === undefined ? null : { kind: "upstream", state: null, responses };
  const state = rooms.seal.open(PURPOSE, requestState, rooms.clock());
  if (!isJsonObject(state)) return refused("the requestState is foreign, altered or expired");
  if (state.bound !== boundTo(ask, { target, sha256 }))
    return refused("the requestState is of another request");
  const { kind, node, call, inner, keys } = state;
  if (kind === "held")
    return { kind, node: String(node), call: String(call), responses: only(responses, keys) };
  if (kind === "upstream")
    return { kind, state: typeof inner === "string" ? inner : null, responses: only(responses, keys) };
  return { kind: "again" };
}

/** Answers to what was asked, and no others. */
function only(responses: JsonObject, keys: unknown): JsonObject {
  const asked = new Set(Array.isArray(keys) ? keys : []);
  return Object.fromEntries(Object.entries(responses).filter(([key]) => asked.has(key)));
}

function refused(reason: string): Refused {
  return {
    kind: "refused",
    decision: { effect: "deny", code: "state_invalid", reasons: [reason], grant: null, requirements: {} },
  };
}

export function lostCall(): PortcullisError {
  return new PortcullisError("state_invalid", { reason: "the call that asked has ended" });
}
