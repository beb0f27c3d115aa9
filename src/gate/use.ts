import type { CallDecision } from "../domain.ts";
import { type ErrorCode, toPortcullisError } from "../lib/errors.ts";
import { digest, type JsonObject } from "../lib/json.ts";
import type { Ask } from "./ask.ts";
import { type Denied, decide, type Match, refusalOf } from "./decision.ts";
import { forward } from "./forward.ts";
import { recordDecision } from "./records.ts";
import { type Resumption, resumed } from "./resume.ts";
import type { Rooms } from "./rooms.ts";
import type { Told } from "./tell.ts";
import type { Wanted } from "./wanted.ts";

/** Decide, record; forward only what was allowed and is on disk. Gives what the caller was told of what was allowed. */
export async function use(ask: Ask, rooms: Rooms, wanted: Wanted): Promise<Told | undefined> {
  const { named, matches, arguments: sent } = wanted;
  const sha256 = digest(sent);
  // What goes on later goes on with the same request: a URI is not told by its variables alone.
  const whole = named === undefined ? sha256 : digest([named, sha256]);
  const { decision, going } = settle(ask, rooms, wanted, whole);
  const id = rooms.decisions.newId();
  await recordDecision(rooms, ask.seen, decision, {
    id,
    asked: wanted.asked,
    targets: matches.map(({ target }) => target),
    arguments: sent,
    sha256,
    named,
  });
  if (decision.effect === "deny") {
    ask.answer.error(refusalOf(decision, ask, rooms));
    return undefined;
  }
  if (going === undefined) return undefined;
  try {
    await wanted.onAllowed?.();
  } catch (thrown) {
    const error = toPortcullisError(thrown);
    return toldHere(rooms, id, error.code, ask.answer.error(error));
  }
  if (wanted.answered !== undefined) return toldHere(rooms, id, "ok", ask.answer.result(wanted.answered));
  const { grant, arguments: args } = decision;
  return forward(ask, rooms, { id, grant, arguments: args, sent, sha256: whole, ...going });
}

/** How an allowed request goes on. */
interface Going {
  readonly target: Match["target"];
  readonly params: JsonObject;
  readonly resume: Resumption | null;
}

function settle(
  ask: Ask,
  rooms: Rooms,
  { matches, params, onVisible }: Wanted,
  sha256: string,
): { readonly decision: CallDecision; readonly going?: Going } {
  const [match] = matches;
  const decision = decide(ask, rooms, matches, onVisible);
  if (decision.effect === "deny" || match === undefined) return { decision };
  const sent = params(match, decision.arguments);
  if (sent === undefined) return { decision: { ...ELSEWHERE, grant: decision.grant } };
  const resume = resumed(ask, rooms, match, sha256, decision.grant);
  if (resume?.kind === "refused") return { decision: resume.decision };
  return { decision, going: { target: match.target, params: sent, resume } };
}

const ELSEWHERE: Denied = {
  effect: "deny",
  code: "policy_failed",
  reasons: ["the values that the grant sets lead to another target"],
  grant: null,
  requirements: {},
};

/** The outcome of what was allowed and went no further than the gateway. */
function toldHere(rooms: Rooms, decision: string, status: ErrorCode | "ok", bytes: number): Told {
  const is_error = status !== "ok";
  rooms.decisions.outcome({ phase: "outcome", decision, status, is_error, ms: 0, bytes, lease_sha256: null });
  return { status, isError: is_error, bytes, withheld: 0 };
}
