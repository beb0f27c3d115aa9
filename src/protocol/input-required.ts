import type { Question } from "../domain.ts";
import { PortcullisError } from "../lib/errors.ts";
import type { JsonObject } from "../lib/json.ts";
import { joinMembers, membersOf, scalarIn } from "../lib/members.ts";
import { completed, resultTypeOf } from "./results.ts";
import { serverMethodRow } from "./server-methods.ts";
import { MAX_STATE } from "./shapes.ts";

/** What a modern server wants to know before it goes on (MCP 2026-07-28, Multi Round-Trip Requests). */
export interface InputRequired {
  /** By the keys under which it wants the answers. */
  readonly requests: ReadonlyMap<string, Question>;
  /** Brought back with the answers, as it is. */
  readonly requestState: string | undefined;
}

/** Questions of one result: more is no conversation. */
const MAX_REQUESTS = 32;
const MAX_KEY = 256;
/** Bytes, as JSON. Sealed within a state of our own it must fit what a client may bring back. */
const MAX_OWN_STATE = MAX_STATE / 4;

/**
 * The questions of a modern upstream's result; undefined where it asks nothing.
 *
 * @throws PortcullisError `upstream_protocol` where it asks nothing that can be answered, or too much
 */
export function readInputRequired(result: string): InputRequired | undefined {
  const members = membersOf(result);
  if (resultTypeOf(members) !== "input_required") return undefined;
  const requests = readInputRequests(members);
  const state = members.get("requestState");
  const requestState = state === undefined ? undefined : (scalarIn(state) ?? null);
  if (requestState !== undefined && typeof requestState !== "string")
    throw refused("its requestState is malformed");
  if (Buffer.byteLength(state ?? "") > MAX_OWN_STATE) throw refused("its requestState is too long");
  if (requests.size === 0 && requestState === undefined) throw refused("it requires input and asks nothing");
  return { requests, requestState };
}

/**
 * The questions in a result, also in that of a task which waits for input.
 *
 * @throws PortcullisError `upstream_protocol` for what cannot be answered, or too much
 */
export function readInputRequests(members: ReadonlyMap<string, string>): ReadonlyMap<string, Question> {
  const asked = [...membersOf(members.get("inputRequests") ?? "{}")];
  if (asked.length > MAX_REQUESTS) throw refused("it asks too much at once");
  return new Map(asked.map(([key, request]) => [key, questionOf(key, request)]));
}

function questionOf(key: string, request: string): Question {
  if (key.length > MAX_KEY) throw refused("a key of its inputRequests is too long");
  const members = membersOf(request);
  const method = scalarIn(members.get("method"));
  const kind = typeof method === "string" ? serverMethodRow(method)?.question : undefined;
  if (kind === undefined) throw refused("it asks with an unknown method");
  const params = members.get("params") ?? "{}";
  membersOf(params);
  return { kind, method: method as Question["method"], params };
}

function refused(reason: string): PortcullisError {
  return new PortcullisError("upstream_protocol", { reason });
}

/** The result that asks a modern client, as JSON text. `requestState` is sealed by whoever calls. */
export function inputRequiredResult(
  requests: ReadonlyMap<string, Pick<Question, "method" | "params">>,
  requestState: string,
  serverInfo?: JsonObject,
): string {
  const asked = [...requests].map(([key, { method, params }]) => {
    const request = new Map([
      ["method", JSON.stringify(method)],
      ["params", params],
    ]);
    return [key, joinMembers(request)] as const;
  });
  const result = new Map<string, string>();
  if (asked.length > 0) result.set("inputRequests", joinMembers(new Map(asked)));
  result.set("requestState", JSON.stringify(requestState));
  return completed(result, serverInfo, "input_required");
}
