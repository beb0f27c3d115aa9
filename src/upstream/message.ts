import type { ClientAnswer, UpstreamAnswer } from "../domain.ts";
import type { JsonObject } from "../lib/json.ts";
import { inOneLine } from "../lib/lines.ts";
import { joinMembers, memberOf, membersAnd, membersOf, scalarIn } from "../lib/members.ts";

/** A JSON-RPC message of an upstream. What is passed on is kept as the text that the upstream sent. */
export type Message =
  | {
      readonly kind: "response";
      readonly id: unknown;
      readonly answer: UpstreamAnswer;
      readonly code: number;
    }
  | { readonly kind: "request"; readonly id: string; readonly method: string; readonly params: string }
  | { readonly kind: "notification"; readonly method: string; readonly params: string };

/** Reads one message; undefined when the text is not JSON, or not JSON-RPC 2.0. */
export function readMessage(text: string): Message | undefined {
  // An Error costs as much as some hundred messages: what a server logs to its stdout is told from them without one.
  if (!/^[ \t\r\n]*\{/.test(text)) return undefined;
  try {
    const { members, found } = membersAnd(inOneLine(text), ["result", "isError"]);
    return messageOf(members, found === "true");
  } catch {
    return undefined;
  }
}

function messageOf(members: ReadonlyMap<string, string>, isError: boolean): Message | undefined {
  if (scalarIn(members.get("jsonrpc")) !== "2.0") return undefined;
  const method = scalarIn(members.get("method"));
  if (typeof method !== "string") return responseOf(members, isError);
  const id = members.get("id");
  const params = members.get("params") ?? "{}";
  return id === undefined
    ? { kind: "notification", method, params }
    : { kind: "request", id, method, params };
}

function responseOf(members: ReadonlyMap<string, string>, isError: boolean): Message | undefined {
  // Some servers leave the id out where they should say null.
  const id = scalarIn(members.get("id") ?? "null");
  const [result, error] = [members.get("result"), members.get("error")];
  if (result?.startsWith("{") && error === undefined)
    return { kind: "response", id, answer: { kind: "result", text: result, isError }, code: 0 };
  if (error === undefined || result !== undefined || !error.startsWith("{")) return undefined;
  const [code, message] = [scalarIn(memberOf(error, "code")), scalarIn(memberOf(error, "message"))];
  if (typeof code !== "number" || !Number.isInteger(code) || typeof message !== "string") return undefined;
  return { kind: "response", id, answer: { kind: "error", text: error, isError: true }, code };
}

export function requestText(id: number, method: string, params: JsonObject): string {
  return `{"jsonrpc":"2.0","id":${id},"method":${JSON.stringify(method)},"params":${JSON.stringify(params)}}`;
}

export function notificationText(method: string, params?: JsonObject): string {
  const member = params === undefined ? "" : `,"params":${JSON.stringify(params)}`;
  return `{"jsonrpc":"2.0","method":${JSON.stringify(method)}${member}}`;
}

/** What the client says to an upstream's question; `id` is the raw text of the question's. */
export function clientAnswerText(id: string, { kind, text }: ClientAnswer): string {
  return `{"jsonrpc":"2.0","id":${id},"${kind}":${inOneLine(text)}}`;
}

/** What an upstream's own request gets that no client answers: ping works, everything else is not offered. */
export function answerText(request: { readonly id: string; readonly method: string }): string {
  const outcome =
    request.method === "ping" ? '"result":{}' : '"error":{"code":-32601,"message":"Method not found"}';
  return `{"jsonrpc":"2.0","id":${request.id},${outcome}}`;
}

/** The params of `notifications/progress` with the caller's token in place of ours; undefined if it was not ours. */
export function restoreToken(
  params: string,
  own: number,
  token: string | number | undefined,
): string | undefined {
  if (token === undefined) return undefined;
  try {
    const members = membersOf(params);
    if (scalarIn(members.get("progressToken")) !== own) return undefined;
    return joinMembers(members.set("progressToken", JSON.stringify(token)));
  } catch {
    return undefined;
  }
}

export function progressTokenOf(params: string): unknown {
  try {
    return scalarIn(memberOf(params, "progressToken"));
  } catch {
    return undefined;
  }
}

const SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId";

/**
 * Of a notification that came by a `subscriptions/listen` (2026-07-28): the id of that request, which is ours, and the
 * params without it; undefined for any other.
 */
export function takeSubscription(
  params: string,
): { readonly id: number; readonly params: string } | undefined {
  if (!params.includes(SUBSCRIPTION)) return undefined;
  try {
    const members = membersOf(params);
    const meta = membersOf(members.get("_meta") ?? "");
    const id = scalarIn(meta.get(SUBSCRIPTION));
    if (typeof id !== "number") return undefined;
    meta.delete(SUBSCRIPTION);
    if (meta.size === 0) members.delete("_meta");
    else members.set("_meta", joinMembers(meta));
    return { id, params: joinMembers(members) };
  } catch {
    return undefined;
  }
}
