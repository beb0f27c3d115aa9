import type { UpstreamReply } from "../domain.ts";
import type { ErrorCode } from "../lib/errors.ts";
import { inputRequiredResult } from "../protocol/input-required.ts";
import { translateError, translateResult } from "../protocol/results.ts";
import type { Ask } from "./ask.ts";
import { present } from "./content.ts";
import { serverInfoOf } from "./description.ts";
import { canonicalUri } from "./resources.ts";
import { sealState } from "./resume.ts";
import type { Rooms } from "./rooms.ts";
import type { Turn } from "./turn.ts";
import type { Allowed } from "./wanted.ts";

/** For the outcome's record. */
export interface Told {
  readonly status: ErrorCode | "ok" | "input_required";
  readonly isError: boolean;
  readonly bytes: number;
  readonly withheld: number;
}

/** Tells the client its turn, in the words of its era. */
export function tell(ask: Ask, rooms: Rooms, allowed: Allowed, turn: Turn): Told {
  switch (turn.kind) {
    case "answer":
      return tellAnswer(ask, rooms, allowed, turn.answer);
    case "questions": {
      const asked = Object.fromEntries([...turn.questions].map(([key, { kind }]) => [key, kind]));
      const state = sealState(ask, rooms, allowed, {
        ...turn.state,
        asked,
        ...(turn.state.kind === "held" && heldAt(rooms, allowed)),
      });
      const serverInfo = serverInfoOf(rooms, ask.seen.server);
      const bytes = ask.answer.result(inputRequiredResult(turn.questions, state, serverInfo));
      return { status: "input_required", isError: false, bytes, withheld: 0 };
    }
    case "failure":
      return { status: turn.error.code, isError: true, bytes: ask.answer.error(turn.error), withheld: 0 };
  }
}

/** Where a call waits: where it began, whichever replica tells its client. */
function heldAt(rooms: Rooms, { id, resume }: Allowed) {
  return resume?.kind === "held"
    ? { node: resume.node, call: resume.call }
    : { node: rooms.held.node, call: id };
}

function tellAnswer(ask: Ask, rooms: Rooms, allowed: Allowed, answer: UpstreamReply): Told {
  const { era, method } = ask.message;
  if (answer.kind === "error") {
    const bytes = ask.answer.upstreamError(translateError(answer.text, { from: answer.era, to: era }));
    return { status: "ok", isError: true, bytes, withheld: 0 };
  }
  const view = rooms.catalog.view(ask.seen.server);
  const filtered = allowed.filter?.(answer.text) ?? answer.text;
  const { text, withheld } = present(
    ask,
    rooms,
    view,
    allowed.target.upstream,
    filtered,
    method === "resources/read"
      ? { uri: String(allowed.params.uri), exposed: canonicalUri(ask.message, view) }
      : undefined,
  );
  const serverInfo = answer.era === era ? undefined : serverInfoOf(rooms, ask.seen.server);
  const bytes = ask.answer.result(
    translateResult(text, { method, from: answer.era, to: era, ...(serverInfo && { serverInfo }) }),
  );
  return { status: "ok", isError: answer.isError, bytes, withheld };
}
