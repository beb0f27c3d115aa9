import type {
  ClientAnswer,
  Grant,
  Lease,
  Question,
  QuestionKind,
  UpstreamReply,
  UpstreamRequest,
} from "../domain.ts";
import { PortcullisError, toPortcullisError } from "../lib/errors.ts";
import { isJsonObject, type Json, type JsonObject } from "../lib/json.ts";
import { paramHeaders } from "../lib/param-headers.ts";
import type { Ask } from "./ask.ts";
import { type Asked, askedIn, urlQuestions } from "./asked.ts";
import type { Conversation } from "./conversation.ts";
import type { Allowed } from "./forward.ts";
import { askClient, canBeAsked, permit } from "./interaction.ts";
import type { Rooms } from "./rooms.ts";
import { withoutSecrets } from "./secrets.ts";
import { keepTask } from "./tasks.ts";
import type { Turn } from "./turn.ts";

/** A modern upstream may ask and ask again: past this it goes in circles. */
const MAX_ROUNDS = 8;

type Asker = Pick<Conversation, "ask" | "notify">;
export type Work = (signal: AbortSignal, conversation: Asker | null) => Promise<Turn>;

/** One allowed request at its upstream, until there is something to tell the client. */
export function exchangeOf(ask: Ask, rooms: Rooms, allowed: Allowed, onLease: (lease: Lease) => void): Work {
  return async (signal, conversation) => {
    try {
      return await withLease(ask, rooms, allowed, onLease, (lease) =>
        rounds(ask, rooms, allowed, { signal, conversation, lease }),
      );
    } catch (thrown) {
      const error = toPortcullisError(thrown);
      const questions = ask.message.era === "modern" ? accountQuestions(error) : undefined;
      if (questions === undefined) throw error;
      return { kind: "questions", questions, state: { kind: "again" } };
    }
  };
}

/** Obtains the credential. One that was revoked early is replaced once: the upstream refused it before anything ran. */
async function withLease(
  ask: Ask,
  rooms: Rooms,
  { id, target, grant }: Allowed,
  onLease: (lease: Lease) => void,
  use: (lease: Lease) => Promise<Turn>,
  again = true,
): Promise<Turn> {
  const lease = await rooms.credentials.obtain(grant.credential, ask.identity.principal, {
    decisionId: id,
    upstream: target.upstream,
    server: ask.seen.server,
    revision: ask.policy.revision,
  });
  onLease(lease);
  const done = lease.hold?.();
  try {
    return await use(lease);
  } catch (thrown) {
    const error = toPortcullisError(thrown);
    if (error.code !== "credential_rejected" || lease.sha256 === null) throw error;
    await lease.revoke();
    if (!again) throw error;
    return withLease(ask, rooms, { id, target, grant } as Allowed, onLease, use, false);
  } finally {
    done?.();
  }
}

interface Way {
  readonly signal: AbortSignal;
  readonly conversation: Asker | null;
  readonly lease: Lease;
}

async function rounds(ask: Ask, rooms: Rooms, allowed: Allowed, way: Way): Promise<Turn> {
  let params = continued(allowed);
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

/** The params of a request that goes on where the upstream's own state left off. */
function continued({ params, resume, grant }: Allowed): JsonObject {
  const { inputResponses: _, requestState: __, ...own } = params;
  if (resume?.kind !== "upstream") return own;
  return {
    ...own,
    inputResponses: permitted(resume.responses, grant),
    ...(resume.state !== null && { requestState: resume.state }),
  };
}

/** Only what answers a kind of question that the grant lets a server ask. */
function permitted(responses: JsonObject, { interaction }: Grant): JsonObject {
  const kept = Object.entries(responses).filter(([, response]) => {
    const kind = isJsonObject(response) ? kindOfResponse(response) : undefined;
    return kind !== undefined && interaction.includes(kind);
  });
  return Object.fromEntries(kept);
}

function kindOfResponse(response: JsonObject): QuestionKind | undefined {
  if (Object.hasOwn(response, "action")) return "elicitation";
  if (Object.hasOwn(response, "roots")) return "roots";
  return Object.hasOwn(response, "role") ? "sampling" : undefined;
}

function asModern({ questions, state, from }: Asked): Turn {
  return {
    kind: "questions",
    questions,
    state: from === "error" ? { kind: "again" } : { kind: "upstream", inner: state },
  };
}

/** Puts a modern upstream's questions to a legacy client, all at once. */
async function answersOf(
  ask: Ask,
  rooms: Rooms,
  { questions, state }: Asked,
  signal: AbortSignal,
): Promise<JsonObject> {
  const answered = await Promise.all(
    [...questions].map(async ([key, question]) => {
      const answer = await rooms.questions.ask(sessionOf(ask), question, ask.answer.request, signal);
      return [key, responseTo(question, answer)] as const;
    }),
  );
  return { inputResponses: Object.fromEntries(answered), ...(state !== null && { requestState: state }) };
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

function sessionOf(ask: Ask): string {
  if (ask.session === null) throw new PortcullisError("capability_missing");
  return ask.session.id;
}

async function send(
  ask: Ask,
  rooms: Rooms,
  allowed: Allowed,
  params: JsonObject,
  { signal, conversation, lease }: Way,
): Promise<UpstreamReply> {
  const { id, target, arguments: args } = allowed;
  const { method, progressToken } = ask.message;
  const notify = conversation?.notify ?? ask.answer.notify;
  const asks = onQuestion(ask, rooms, allowed, conversation);
  const request: UpstreamRequest = {
    method,
    params,
    owner: ask.owner,
    clientInfo: ask.clientInfo,
    clientCapabilities: ask.clientCapabilities,
    decisionId: id,
    credential: lease.headers,
    lease,
    who: ask.who,
    signal,
    timeoutMs: rooms.timeoutOf(target.upstream),
    ...(ask.logLevel !== undefined && { logLevel: ask.logLevel }),
    ...(progressToken !== undefined && { progressToken }),
    ...(target.paramHeaders?.length && { paramHeaders: paramHeaders(target.paramHeaders, args) }),
    onNotification: (kind, text) => notify(kind, withoutSecrets(text, lease)),
    ...(asks && { onQuestion: asks }),
  };
  const answer = await upstreamOf(rooms, target.upstream).request(request);
  return { ...answer, text: withoutSecrets(answer.text, lease) };
}

/** How a legacy upstream's questions reach the client; none for a client that cannot be asked. */
function onQuestion(
  ask: Ask,
  rooms: Rooms,
  allowed: Allowed,
  conversation: Asker | null,
): UpstreamRequest["onQuestion"] {
  if (!canBeAsked(ask.clientCapabilities)) return undefined;
  if (ask.message.era === "legacy")
    return (question, signal) => askClient(ask, rooms, allowed, question, signal);
  return async (question, signal) => {
    await permit(ask, rooms, allowed, question);
    if (conversation === null) throw new PortcullisError("interaction_refused");
    return conversation.ask(question, signal);
  };
}

/** An account that is not linked yet: the gateway's own question, which no upstream's grant has to allow. */
function accountQuestions({ code, data }: PortcullisError): ReadonlyMap<string, Question> | undefined {
  if (code !== "account_required") return undefined;
  return Array.isArray(data?.elicitations) ? urlQuestions(JSON.stringify(data.elicitations)) : undefined;
}

export function upstreamOf(rooms: Pick<Rooms, "upstreams">, name: string) {
  const found = rooms.upstreams.get(name);
  if (found === undefined)
    throw new PortcullisError("upstream_unavailable", { reason: `no upstream ${name}` });
  return found;
}
