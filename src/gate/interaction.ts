import type { ClientAnswer, Grant, Question, QuestionKind } from "../domain.ts";
import { abortSignalOf } from "../lib/cancellation.ts";
import { PortcullisError } from "../lib/errors.ts";
import { isJsonObject, type JsonObject, sha256 } from "../lib/json.ts";
import { memberOf, scalarIn } from "../lib/members.ts";
import type { Ask } from "./ask.ts";
import { record } from "./records.ts";
import type { Rooms } from "./rooms.ts";
import type { Allowed } from "./wanted.ts";

/** What a server may ask at all, and under which of the client's capabilities. */
const KINDS: readonly QuestionKind[] = ["sampling", "elicitation", "roots"];

/** Whether a client can be asked anything. */
export function canBeAsked(capabilities: JsonObject | null): boolean {
  return capabilities !== null && KINDS.some((kind) => isJsonObject(capabilities[kind]));
}

/** Whether a request could come to questions at all. */
export function mayAsk({ clientCapabilities }: Ask, { interaction }: Grant): boolean {
  return interaction.length > 0 && canBeAsked(clientCapabilities);
}

/** Whether the client declared that it can answer this. A form is what every elicitation client can show. */
export function declares(
  capabilities: JsonObject | null,
  { kind, params }: Pick<Question, "kind" | "params">,
): boolean {
  const declared = capabilities?.[kind];
  if (!isJsonObject(declared)) return false;
  if (kind !== "elicitation") return true;
  const byUrl = params.startsWith("{") && scalarIn(memberOf(params, "mode")) === "url";
  return byUrl ? isJsonObject(declared.url) : declared.form !== undefined || declared.url === undefined;
}

/**
 * Decides whether a question of the server may go to the client of the call that it belongs to, and puts that on disk.
 *
 * @throws PortcullisError `interaction_refused`, `capability_missing`
 */
export async function permit(ask: Ask, rooms: Rooms, allowed: Allowed, question: Question): Promise<void> {
  const { kind, method, params } = question;
  const code = !allowed.grant.interaction.includes(kind)
    ? "interaction_refused"
    : declares(ask.clientCapabilities, question)
      ? "ok"
      : "capability_missing";
  await record(rooms, ask.seen, {
    effect: code === "ok" ? "allow" : "deny",
    code,
    method,
    target: { upstream: allowed.target.upstream, kind, name: "" },
    arguments_sha256: sha256(params),
    grant: allowed.grant,
    within: allowed.id,
  });
  if (code !== "ok") throw new PortcullisError(code, { data: missing(kind, code) });
}

function missing(kind: QuestionKind, code: string): JsonObject {
  return code === "capability_missing" ? { requiredCapabilities: { [kind]: {} } } : {};
}

/** Puts a question to a legacy client on the stream of the call that it belongs to. */
export async function askClient(
  ask: Ask,
  rooms: Rooms,
  allowed: Allowed,
  question: Question,
  signal: AbortSignal,
): Promise<ClientAnswer> {
  await permit(ask, rooms, allowed, question);
  const session = ask.session?.id;
  if (session === undefined) throw new PortcullisError("capability_missing");
  const either = AbortSignal.any([signal, abortSignalOf(ask.signal)]);
  return rooms.questions.ask(session, question, ask.answer, either);
}
