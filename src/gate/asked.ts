import type { Question, UpstreamReply } from "../domain.ts";
import { elementsOf, memberOf, membersOf } from "../lib/members.ts";
import { readInputRequired } from "../protocol/input-required.ts";

/** What an upstream wants to know before it answers. */
export interface Asked {
  /** By the keys under which it wants the answers. */
  readonly questions: ReadonlyMap<string, Question>;
  /** result: it wants them with its own state, if it has any. error: it wants to be asked again once they are given. */
  readonly from: "result" | "error";
  readonly state: string | null;
}

/** JSON-RPC code of URL elicitation (MCP 2025-11-25, Elicitation, URL Elicitation Required Error). */
const URL_ELICITATION = -32042;

/** Reads an answer that is a question; undefined for all others, most of which are not even parsed. */
export function askedIn({ kind, text, era }: UpstreamReply): Asked | undefined {
  if (kind === "error") return text.includes(String(URL_ELICITATION)) ? urlsIn(text) : undefined;
  if (era === "legacy" || !mayAsk(text)) return undefined;
  const required = readInputRequired(text);
  return required && { questions: required.requests, from: "result", state: required.requestState ?? null };
}

/** Escapes could spell the word otherwise: then the parser judges. */
function mayAsk(text: string): boolean {
  return text.includes("input_required") || text.includes("\\u");
}

function urlsIn(error: string): Asked | undefined {
  const members = membersOf(error);
  const data = members.get("data");
  if (members.get("code") !== String(URL_ELICITATION) || !data?.startsWith("{")) return undefined;
  const elicitations = memberOf(data, "elicitations");
  if (!elicitations?.startsWith("[")) return undefined;
  return { questions: urlQuestions(elicitations), from: "error", state: null };
}

/** The elicitations of a -32042 error, as raw JSON text, by keys of ours. */
export function urlQuestions(elicitations: string): ReadonlyMap<string, Question> {
  const params = elementsOf(elicitations).filter((one) => one.startsWith("{"));
  return new Map(
    params.map((one, at) => [
      `url-${at + 1}`,
      { kind: "elicitation", method: "elicitation/create", params: one } as const,
    ]),
  );
}
