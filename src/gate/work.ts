import type { ClientAnswer, Lease, Question } from "../domain.ts";
import { abortSignalOf, type Cancellable } from "../lib/cancellation.ts";
import { PortcullisError, toPortcullisError } from "../lib/errors.ts";
import type { Json, JsonObject } from "../lib/json.ts";
import { joinMembers, membersOf } from "../lib/members.ts";
import type { Ask } from "./ask.ts";
import { type Asked, askedIn, urlQuestions } from "./asked.ts";
import { declares, permit } from "./interaction.ts";
import { keepTask } from "./keep-task.ts";
import type { Rooms } from "./rooms.ts";
import { send, type Way } from "./send.ts";
import type { Turn } from "./turn.ts";
import type { Allowed } from "./wanted.ts";

/** A modern upstream may ask and ask again: past this it goes in circles. */
const MAX_ROUNDS = 8;

export type Work = (signal: Cancellable, conversation: Way["conversation"]) => Promise<Turn>;

/** One allowed request at its upstream, until there is something to tell the client. */
export function workOf(ask: Ask, rooms: Rooms, allowed: Allowed, onLease: (lease: Lease) => void): Work {
  async function obtain(): Promise<Lease> {
    const { id, target, grant } = allowed;
    const lease = await rooms.credentials.obtain(grant.credential, ask.identity.principal, {
      decisionId: id,
      upstream: target.upstream,
      server: ask.seen.server,
      revision: ask.policy.revision,
    });
    onLease(lease);
    return lease;
  }

  return async (signal, conversation) => {
    try {
      return await withLease(obtain, (lease) => rounds(ask, rooms, allowed, { signal, conversation, lease }));
    } catch (thrown) {
      const error = toPortcullisError(thrown);
      if (ask.session !== null) await rooms.elicitations.waits(ask.session.id, ask.principalKey, error);
      const questions = ask.message.era === "modern" ? accountQuestions(ask, error) : undefined;
      if (questions === undefined) throw error;
      return { kind: "questions", questions, state: { kind: "again" } };
    }
  };
}

/** A lease that was revoked early is replaced once: the upstream refused it before anything ran. */
async function withLease<T>(obtain: () => Promise<Lease>, use: (lease: Lease) => Promise<T>): Promise<T> {
  for (let isLast = false; ; isLast = true) {
    const lease = await obtain();
    const done = lease.hold?.();
    try {
      return await use(lease);
    } catch (thrown) {
      const error = toPortcullisError(thrown);
      if (error.code !== "credential_rejected" || lease.sha256 === null) throw error;
      await lease.revoke();
      if (isLast) throw error;
    } finally {
      done?.();
    }
  }
}

async function rounds(ask: Ask, rooms: Rooms, allowed: Allowed, way: Way): Promise<Turn> {
  let params = continued(ask, rooms, allowed);
  for (let round = 0; round < MAX_ROUNDS; round += 1) {
    const answer = await send(ask, rooms, allowed, params, way);
    const asked = askedIn(answer);
    if (asked === undefined) {
      await keepTask(ask, rooms, allowed, answer);
      return { kind: "answer", answer };
    }
    for (const question of asked.questions.values()) await permit(ask, rooms, allowed, question);
    if (ask.message.era === "modern") return asModern(asked);
    if (asked.from === "error") return { kind: "answer", answer };
    params = { ...allowed.params, ...(await answersOf(ask, rooms, asked, way.signal)) };
  }
  throw new PortcullisError("upstream_protocol", { reason: "it asks without end" });
}

/** The params of a request that goes on where the upstream's own state left off. A legacy one keeps none. */
function continued(ask: Ask, rooms: Rooms, { params, resume, target }: Allowed): JsonObject {
  const own = withoutAnswers(params);
  if (resume?.kind !== "upstream") return own;
  const identity = rooms.catalog.view(ask.seen.server).upstreams.get(target.upstream);
  if (identity?.era !== "modern") return own;
  const state = resume.state === null ? {} : { requestState: resume.state };
  return { ...own, inputResponses: resume.responses, ...state };
}

function withoutAnswers(params: JsonObject): JsonObject {
  if (params.inputResponses === undefined && params.requestState === undefined) return params;
  const { inputResponses: _, requestState: __, ...own } = params;
  return own;
}

function asModern({ questions, state, from }: Asked): Turn {
  return {
    kind: "questions",
    questions,
    state: from === "error" ? { kind: "again" } : { kind: "upstream", inner: state },
  };
}

/** Puts a modern upstream's questions to a legacy client, all at once; where one fails, the others are withdrawn. */
async function answersOf(
  { session, answer }: Ask,
  rooms: Rooms,
  { questions, state }: Asked,
  signal: Cancellable,
): Promise<JsonObject> {
  if (session === null) throw new PortcullisError("capability_missing");
  const over = new AbortController();
  const either = AbortSignal.any([abortSignalOf(signal), over.signal]);
  try {
    const answered = await Promise.all(
      [...questions].map(async ([key, question]) => {
        const said = await rooms.questions.ask(session.id, asLegacy(question, rooms.newId), answer, either);
        return [key, responseTo(question, said)] as const;
      }),
    );
    return { inputResponses: Object.fromEntries(answered), ...(state !== null && { requestState: state }) };
  } finally {
    over.abort();
  }
}

/** A page to open has an id up to 2025-11-25, and none since. */
function asLegacy(question: Question, newId: () => string): Question {
  const members = membersOf(question.params);
  if (members.get("mode") !== '"url"' || members.has("elicitationId")) return question;
  return { ...question, params: joinMembers(members.set("elicitationId", JSON.stringify(newId()))) };
}

/** A modern server knows answers only: who cannot say, declines. */
function responseTo({ kind }: Question, { kind: said, text }: ClientAnswer): Json {
  if (said === "result") return JSON.parse(text) as Json;
  if (kind === "elicitation") return { action: "cancel" };
  if (kind === "roots") return { roots: [] };
  throw new PortcullisError("interaction_refused", {
    text: "The client refused what the server asked of it.",
  });
}

/**
 * An account that is not linked yet: the gateway's own question, which no upstream's grant has to allow. A client that
 * cannot show it is told with the error.
 */
function accountQuestions(
  { clientCapabilities }: Ask,
  { code, data }: PortcullisError,
): ReadonlyMap<string, Question> | undefined {
  if (code !== "account_required" || !Array.isArray(data?.elicitations)) return undefined;
  const questions = urlQuestions(JSON.stringify(data.elicitations));
  const canShow = [...questions.values()].every((question) => declares(clientCapabilities, question));
  return canShow ? questions : undefined;
}
