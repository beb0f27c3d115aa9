import { performance } from "node:perf_hooks";
import type { Lease } from "../domain.ts";
import { toPortcullisError } from "../lib/errors.ts";
import { joinMembers, membersOf } from "../lib/members.ts";
import type { Ask } from "./ask.ts";
import { converse, type Listener } from "./conversation.ts";
import { mayAsk } from "./interaction.ts";
import type { Rooms } from "./rooms.ts";
import { type Told, tell } from "./tell.ts";
import type { Turn } from "./turn.ts";
import type { Allowed } from "./wanted.ts";
import { workOf } from "./work.ts";

/** Credential, upstream, answer; and the outcome's record, whatever happened. */
export async function forward(ask: Ask, rooms: Rooms, allowed: Allowed): Promise<Told> {
  const startedAt = performance.now();
  const used: { lease?: Lease } = {};
  const turn = await turnOf(ask, rooms, allowed, used);
  const told = toldOf(ask, rooms, allowed, turn);
  const ms = performance.now() - startedAt;
  rooms.decisions.outcome({
    phase: "outcome",
    decision: allowed.id,
    status: told.status,
    is_error: told.isError,
    ms: Math.round(ms * 1000) / 1000,
    bytes: told.bytes,
    lease_sha256: used.lease?.sha256 ?? null,
    withheld: told.withheld > 0 ? told.withheld : undefined,
  });
  rooms.metrics.forwarded(allowed.target.upstream, told.status, ms / 1000);
  return told;
}

/** What cannot be told as it came, because it is no MCP or asks what it may not, is told as a failure. */
function toldOf(ask: Ask, rooms: Rooms, allowed: Allowed, turn: Turn): Told {
  try {
    return tell(ask, rooms, allowed, turn);
  } catch (thrown) {
    return tell(ask, rooms, allowed, { kind: "failure", error: toPortcullisError(thrown) });
  }
}

/** What comes next: of a call that begins here, or of one that waits for this request. Never rejects. */
async function turnOf(ask: Ask, rooms: Rooms, allowed: Allowed, used: { lease?: Lease }): Promise<Turn> {
  const { resume } = allowed;
  try {
    if (resume?.kind === "held") return await rooms.held.resume(resume, listenerOf(ask));
    const work = workOf(ask, rooms, allowed, (lease) => {
      used.lease = lease;
    });
    // Only a client that can answer, and is answered alone, leaves a call waiting.
    if (ask.message.era === "legacy" || !mayAsk(ask, allowed.grant)) return await work(ask.signal, null);
    const conversation = converse(work);
    const turn = await conversation.next(listenerOf(ask));
    if (turn.kind === "questions" && turn.state.kind === "held")
      rooms.held.keep(allowed.id, ask.principalKey, conversation);
    return turn;
  } catch (thrown) {
    const error = toPortcullisError(thrown);
    if (error.code === "internal") rooms.log.error({ err: error, decision: allowed.id }, "forwarding failed");
    return { kind: "failure", error };
  }
}

/** A call that goes on under another request tells its progress under that one's token. */
function listenerOf({ answer, message, signal }: Ask): Listener {
  return {
    signal,
    notify(method, params) {
      const { progressToken } = message;
      if (method !== "notifications/progress") answer.notify(method, params);
      else if (progressToken !== undefined) {
        const members = membersOf(params).set("progressToken", JSON.stringify(progressToken));
        answer.notify(method, joinMembers(members));
      }
    },
  };
}
