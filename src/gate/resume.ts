import type { CallDecision, Grant, QuestionKind } from "../domain.ts";
import type { ErrorCode } from "../lib/errors.ts";
import { isJsonObject, type Json, type JsonObject } from "../lib/json.ts";
import type { Ask } from "./ask.ts";
import type { Match } from "./decision.ts";
import type { Rooms } from "./rooms.ts";
import { STATE_MS } from "./turn.ts";

/** How a request goes on from an earlier one of the same client for the same thing. */
export type Resumption =
  /** The call still runs, at that replica. */
  | { readonly kind: "held"; readonly node: string; readonly call: string; readonly responses: JsonObject }
  /** The upstream keeps its own state in the client's hands; null: none. */
  | { readonly kind: "upstream"; readonly state: string | null; readonly responses: JsonObject }
  /** What was missing may be there now: the call is made anew. */
  | { readonly kind: "again" };

type Refused = { readonly kind: "refused"; readonly decision: Extract<CallDecision, { effect: "deny" }> };

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

/** Reads what a request brings back; null: it begins anew. `grant`: what allows the request now. */
export function resumed(
  ask: Ask,
  rooms: Pick<Rooms, "seal" | "clock">,
  { target }: Match,
  sha256: string,
  grant: Grant,
): Resumption | Refused | null {
  const { requestState, inputResponses } = ask.message;
  if (requestState === undefined) return inputResponses === undefined ? null : unasked(inputResponses, grant);
  const state = rooms.seal.open(PURPOSE, requestState, rooms.clock());
  if (!isJsonObject(state))
    return refused("state_invalid", "the requestState is foreign, altered or expired");
  if (state.bound !== boundTo(ask, { target, sha256 }))
    return refused("state_invalid", "the requestState is of another request");
  const { kind, node, call, inner } = state;
  if (kind === "again") return { kind };
  const asked = isJsonObject(state.asked) ? state.asked : {};
  if (!Object.values(asked).every((one) => grant.interaction.includes(String(one))))
    return refused("interaction_refused", "the grant no longer allows what was asked");
  const responses = only(inputResponses ?? {}, (key) => Object.hasOwn(asked, key));
  if (kind === "held") return { kind, node: String(node), call: String(call), responses };
  return { kind: "upstream", state: typeof inner === "string" ? inner : null, responses };
}

/** Answers to questions that nobody put through here: a modern upstream may take them, as without a gateway. */
function unasked(given: JsonObject, { interaction }: Grant): Resumption {
  const allowed = (key: string) => {
    const kinds = kindsOf(given[key]);
    return kinds.length > 0 && kinds.every((kind) => interaction.includes(kind));
  };
  return { kind: "upstream", state: null, responses: only(given, allowed) };
}

const MARKS = { action: "elicitation", roots: "roots", role: "sampling" } as const;

/** What a response could be taken for. */
function kindsOf(response: Json | undefined): readonly QuestionKind[] {
  if (!isJsonObject(response)) return [];
  return Object.entries(MARKS).flatMap(([member, kind]) => (Object.hasOwn(response, member) ? [kind] : []));
}

function only(responses: JsonObject, wanted: (key: string) => boolean): JsonObject {
  return Object.fromEntries(Object.entries(responses).filter(([key]) => wanted(key)));
}

function refused(code: ErrorCode, reason: string): Refused {
  return {
    kind: "refused",
    decision: { effect: "deny", code, reasons: [reason], grant: null, requirements: {} },
  };
}
