import type { CallDecision, Target, TargetId } from "../domain.ts";
import { digest, isJsonObject, type Json, type JsonObject } from "../lib/json.ts";
import { elementsOf, joinMembers, membersOf, scalarIn } from "../lib/members.ts";
import type { OpenCapability } from "../policy/capability.ts";
import type { Ask } from "./ask.ts";
import { capabilityOf, refusalOf, UNKNOWN } from "./decision.ts";
import { forward } from "./forward.ts";
import { recordDecision } from "./records.ts";
import type { Rooms } from "./rooms.ts";

/** What is completed: an argument of a prompt, or a variable of a template. */
interface Completion {
  readonly asked: TargetId;
  readonly target: Target | undefined;
  readonly argument: string;
  /** What there is of it. */
  readonly value: Json;
  /** The arguments that are given already. */
  readonly given: JsonObject;
}

/** completion/complete: decided as the prompt or template is, and no value that its bounds forbid is told. */
export async function complete(ask: Ask, rooms: Rooms): Promise<void> {
  const completion = completionOf(ask, rooms);
  const { asked, target, given, argument } = completion;
  const capability = target && capabilityOf(ask, rooms, target);
  const decision: CallDecision =
    target === undefined || capability === undefined
      ? UNKNOWN
      : capability.decideBegun(given, argument, ask.policy.requirements(ask.context, target));
  const sent = { ...given, [argument]: completion.value };
  const sha256 = digest(sent);
  const id = rooms.decisions.newId();
  await recordDecision(rooms, ask.seen, decision, {
    id,
    asked,
    targets: target === undefined ? [] : [target],
    arguments: sent,
    sha256,
    named: argument,
  });
  if (decision.effect === "deny") return void ask.answer.error(refusalOf(decision, ask, rooms));
  if (target === undefined || capability === undefined) return;
  await forward(ask, rooms, {
    id,
    target,
    grant: decision.grant,
    params: paramsFor(ask.message.params, target, decision.arguments === given ? null : decision.arguments),
    arguments: given,
    sent,
    sha256,
    resume: null,
    filter: (result) => withinBounds(result, completion, capability),
  });
}

function completionOf(ask: Ask, rooms: Rooms): Completion {
  const { ref, argument, context } = ask.message.params as Record<string, JsonObject>;
  const { type, name, uri } = ref ?? {};
  const kind = type === "ref/prompt" ? "prompt" : "template";
  const exposed = String(kind === "prompt" ? name : uri);
  const given = context?.arguments;
  return {
    asked: { upstream: "", kind, name: exposed },
    target: rooms.catalog.view(ask.seen.server).find(kind, exposed),
    argument: String(argument?.name),
    value: argument?.value ?? "",
    given: isJsonObject(given) ? given : {},
  };
}

/** The reference in the upstream's words; `context` is as it came unless the grant sets arguments of its own. */
function paramsFor(params: JsonObject, { kind, name }: Target, args: JsonObject | null): JsonObject {
  const ref = { ...(params.ref as JsonObject), ...(kind === "prompt" ? { name } : { uri: name }) };
  if (args === null) return { ...params, ref };
  return { ...params, ref, context: { ...(params.context as JsonObject | undefined), arguments: args } };
}

/** Values of one completion that are tried: ten times what MCP lets an answer hold. */
const MAX_VALUES = 1000;

/**
 * `{completion: {values, total?, hasMore?}}` without the values that the bounds forbid, and without the count, which
 * would tell of them, also of those that this page does not hold.
 */
function withinBounds(
  result: string,
  { target, argument, given }: Completion,
  { listing, begins }: OpenCapability,
): string {
  if (listing().inputSchema === target?.inputSchema) return result;
  const members = membersOf(result);
  const completion = membersOf(members.get("completion") ?? "{}");
  const values = elementsOf(completion.get("values") ?? "[]");
  const told = values.slice(0, MAX_VALUES);
  const allowed = told.filter((value) => begins({ ...given, [argument]: scalarIn(value) ?? null }));
  if (allowed.length < values.length) completion.set("values", `[${allowed.join(",")}]`);
  else if (!completion.has("total")) return result;
  completion.delete("total");
  return joinMembers(members.set("completion", joinMembers(completion)));
}
