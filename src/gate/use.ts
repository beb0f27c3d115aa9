import type { CallDecision, TargetId } from "../domain.ts";
import { digest, type JsonObject } from "../lib/json.ts";
import type { Ask } from "./ask.ts";
import { decide, idOf, type Match, refusalOf } from "./decision.ts";
import { forward } from "./forward.ts";
import { record } from "./records.ts";
import { resumed } from "./resume.ts";
import type { Rooms } from "./rooms.ts";
import type { Told } from "./tell.ts";

/** What a request asks to use. */
export interface Wanted {
  /** For the record, whether there is such a target or not. */
  readonly named: TargetId;
  /** As the caller sent them. */
  readonly arguments: JsonObject;
  /** Everything that it must be allowed under, what it names first; none: there is no such target. */
  readonly matches: readonly Match[];
  /** What the upstream is sent, around the arguments that policy lets through. */
  params(match: Match, args: JsonObject): JsonObject;
  /** What may be checked only once the caller is known to see the target. */
  onVisible?(): void;
  /** The result, where the gateway itself answers what was allowed. */
  readonly answered?: string | undefined;
}

/** Decide, record; forward only what was allowed and is on disk. Gives what the caller was told of what was allowed. */
export async function use(ask: Ask, rooms: Rooms, wanted: Wanted): Promise<Told | undefined> {
  const [match, ...others] = wanted.matches;
  const allowed = decide(ask, rooms, wanted.matches, wanted.onVisible);
  const sha256 = digest(wanted.arguments);
  const resume =
    allowed.effect === "allow" && match !== undefined ? resumed(ask, rooms, match, sha256) : null;
  const decision: CallDecision = resume?.kind === "refused" ? resume.decision : allowed;

  const id = rooms.log.newId();
  await record(
    rooms,
    ask.seen,
    {
      effect: decision.effect,
      code: decision.effect === "allow" ? "ok" : decision.code,
      target: idOf(match?.target ?? wanted.named),
      ...(match && { target_sha256: match.target.digest }),
      ...(others.length > 0 && { matched: others.map(({ target }) => idOf(target)) }),
      arguments: wanted.arguments,
      arguments_sha256: sha256,
      grant: decision.grant,
      requirements: decision.requirements,
      reasons: decision.effect === "allow" ? [] : decision.reasons,
    },
    id,
  );

  if (decision.effect === "deny") {
    ask.answer.error(refusalOf(decision, ask, rooms));
    return undefined;
  }
  if (match === undefined || resume?.kind === "refused") return undefined;
  if (wanted.answered !== undefined)
    return { status: "ok", isError: false, bytes: ask.answer.result(wanted.answered), withheld: 0 };
  const { grant } = decision;
  const params = wanted.params(match, decision.arguments);
  return forward(ask, rooms, {
    id,
    target: match.target,
    grant,
    params,
    arguments: decision.arguments,
    sent: wanted.arguments,
    sha256,
    resume,
  });
}
