import type { CallDecision, Target, TargetId } from "../domain.ts";
import { digest, isJsonObject, type Json, type JsonObject } from "../lib/json.ts";
import { elementsOf, joinMembers, membersOf } from "../lib/members.ts";
import type { OpenCapability } from "../policy/capability.ts";
import type { Ask } from "./ask.ts";
import { capabilityOf, idOf, refusalOf, UNKNOWN } from "./decision.ts";
import { forward } from "./forward.ts";
import { record } from "./records.ts";
import type { Rooms } from "./rooms.ts";

/** What is completed: an argument of a prompt, or a variable of a template. */
interface Completion {
  readonly named: TargetId;
  readonly target: Target | undefined;
  readonly argument: string;
  /** The arguments that are given already. */
  readonly given: JsonObject;
}

/** completion/complete: decided as the prompt or template is, and no value that its bounds forbid is told. */
export async function complete(ask: Ask, rooms: Rooms): Promise<void> {
  const { params } = ask.message;
  const completion = completionOf(ask, rooms);
  const { target, given, argument } = completion;
  const capability = target && capabilityOf(ask, rooms, target);
  const decision: CallDecision =
    target === undefined || capability === undefined
      ? UNKNOWN
      : capability.decideBegun(given, ask.policy.requirements(ask.context, target));

  const id = rooms.log.newId();
  const sha256 = digest(given);
  await record(
    rooms,
    ask.seen,
    {
      effect: decision.effect,
      code: decision.effect === "allow" ? "ok" : decision.code,
      target: idOf(target ?? completion.named),
      ...(target && { target_sha256: target.digest }),
      arguments: given,
      arguments_sha256: sha256,
      grant: decision.grant,
      requirements: decision.requirements,
      reasons: decision.effect === "allow" ? [] : decision.reasons,
    },
    id,
  );

  if (decision.effect === "deny") return void ask.answer.error(refusalOf(decision, ask, rooms));
  if (target === undefined || capability === undefined) return;
  const { grant } = decision;
  const ref = target.kind === "prompt" ? { name: target.name } : { uri: target.name };
  await forward(ask, rooms, {
    id,
    target,
    grant,
    params: { ...params, ref: { ...(params.ref as JsonObject), ...ref } },
    arguments: given,
    sent: given,
    sha256,
    resume: null,
    filter: (result) => withinBounds(result, argument, given, capability),
  });
}

function completionOf(ask: Ask, rooms: Rooms): Completion {
  const { ref, argument, context } = ask.message.params as Record<string, JsonObject>;
  const { type, name, uri } = ref ?? {};
  const view = rooms.catalog.view(ask.seen.server);
  const kind = type === "ref/prompt" ? "prompt" : "template";
  const exposed = String(kind === "prompt" ? name : uri);
  const given = context?.arguments;
  return {
    named: { upstream: "", kind, name: exposed },
    target: view.find(kind, exposed),
    argument: String(argument?.name),
    given: isJsonObject(given) ? given : {},
  };
}

/** `{completion: {values, total?, hasMore?}}` without the values that would not be let through; a count would tell of them. */
function withinBounds(
  result: string,
  argument: string,
  given: JsonObject,
  { begins }: OpenCapability,
): string {
  const members = membersOf(result);
  const completion = membersOf(members.get("completion") ?? "{}");
  const values = elementsOf(completion.get("values") ?? "[]");
  const allowed = values.filter((value) => begins({ ...given, [argument]: JSON.parse(value) as Json }));
  if (allowed.length === values.length) return result;
  completion.set("values", `[${allowed.join(",")}]`);
  completion.delete("total");
  return joinMembers(members.set("completion", joinMembers(completion)));
}
