import type { ClientAnswer, EventStream, Exchange, Identity, Question } from "../domain.ts";
import { PortcullisError } from "../lib/errors.ts";
import { sha256 } from "../lib/json.ts";
import { notificationText, requestText } from "../protocol/answers.ts";
import type { Missed } from "../protocol/events.ts";
import type { ClientSession } from "../protocol/sessions.ts";
import type { Seen } from "./ask.ts";
import { decide } from "./decision.ts";
import { type Feed, openFeed } from "./feed.ts";
import { type Hearer, hearing } from "./hearer.ts";
import { declares } from "./interaction.ts";
import { beginLife } from "./life.ts";
import { LINGER_MS } from "./outbox.ts";
import { sessionKeyOf, whoOf } from "./principal.ts";
import type { Asking } from "./questions.ts";
import { record } from "./records.ts";
import type { Rooms } from "./rooms.ts";
import { createSay, type Say } from "./say.ts";

/** A legacy client's GET. */
export interface Opening {
  readonly exchange: Exchange;
  readonly seen: Seen;
  readonly identity: Identity;
  readonly session: ClientSession;
  /** From now on it waits rather than works. */
  rest(): void;
}

/** Names of the streams that belong to no request start with this. */
const OWN = "get-";
/** From this revision on clients take an event without data for a point to resume from. */
const PRIMED_SINCE = "2025-11-25";

export function isStanding(stream: string): boolean {
  return stream.startsWith(OWN);
}

/** The last event that a client has of a stream. */
export type ResumePoint = Pick<Missed, "stream"> & { readonly last: string };

/** The standing stream of a session: one at a time, the newest. A session that has one is not idle. */
export async function stand(
  { exchange, seen, identity, session }: Opening,
  rooms: Rooms,
  decisionId: string,
  from: ResumePoint | undefined,
): Promise<void> {
  const stream = exchange.reply.stream();
  const life = beginLife(identity, rooms, exchange.signal);
  const work = OWN + rooms.newId();
  // Its session may have ended since it was looked up: then it is over before it says or hears anything.
  session.requests.begin(work, life.end);
  const name = from?.stream ?? work;
  // Until the feed is told what to hear nothing is awaited: between the two streams nothing may go unheard.
  const { before, leave: leavePlace } = rooms.streams.take(session.id, {
    end: life.end,
    settle() {
      feed.settle();
      return voice.said();
    },
  });
  const voice = createVoice(
    createSay(
      stream,
      (text) => rooms.events.append(session.id, name, text),
      before.then(() => (from ? sendMissed(stream, rooms, session.id, from.last) : undefined)),
    ),
  );
  if (from === undefined && session.version >= PRIMED_SINCE && !life.signal.aborted) voice.mark();
  const hearer = hearerOf(session, identity, decisionId);
  const feed = openFeed(rooms, {
    hearer,
    era: "legacy",
    deliver: voice.notify,
    ask: (upstream, question, signal) =>
      askStanding(rooms, { hearer, session, seen }, { upstream, question }, voice, signal),
  });
  // What happens before the client is back is kept for it.
  let lingering: NodeJS.Timeout | undefined;
  exchange.outlive(() => {
    if (!life.signal.aborted) lingering = setTimeout(life.end, LINGER_MS).unref();
  });
  const leaving = [
    leavePlace,
    rooms.sessions.watch(session.id, (changed) => want(feed, changed)),
    rooms.elicitations.onComplete(session.id, (elicitationId) =>
      voice.notify("notifications/elicitation/complete", JSON.stringify({ elicitationId })),
    ),
    feed.close,
    stream.end,
    () => session.requests.end(work),
    () => clearTimeout(lingering),
  ];
  try {
    if (!life.signal.aborted) want(feed, session);
    await life.over;
  } finally {
    for (const leave of leaving) leave();
  }
}

/** What a stream says, in the order in which it is said. */
function createVoice(say: Say) {
  let last = Promise.resolve();
  const tell = (text: string, kind?: "notification") => {
    last = say(text, kind);
  };
  return {
    notify: (method: string, params: string) => tell(notificationText(method, params), "notification"),
    request: (id: string, method: string, params: string) => tell(requestText(id, method, params)),
    /** A point to resume from. */
    mark: () => tell(""),
    /** Resolves when all of it is remembered. */
    said: () => last,
  };
}

/** What followed an event. Never rejects: a client that cannot be told hears what comes from now on. */
async function sendMissed(stream: EventStream, rooms: Rooms, session: string, last: string): Promise<void> {
  try {
    const missed = await rooms.events.after(session, last);
    for (const { id, text } of missed?.events ?? []) void stream.send(text, id);
  } catch (err) {
    rooms.log.warn({ err }, "what a client missed cannot be read");
  }
}

function hearerOf(session: ClientSession, identity: Identity, decisionId: string): Hearer {
  const { id, server, clientInfo, clientCapabilities } = session;
  return {
    ...{ identity, server, clientInfo, clientCapabilities, decisionId },
    sessionKey: sessionKeyOf(id),
    ownsSessions: false,
    who: whoOf(identity),
  };
}

function want(feed: Feed, { subscriptions, logLevel }: ClientSession): void {
  void feed.want({
    lists: new Set(["tools", "resources", "prompts"]),
    uris: new Set(subscriptions),
    logLevel: logLevel ?? undefined,
  });
}

interface Asked {
  readonly upstream: string;
  readonly question: Question;
}

/**
 * A question that belongs to no request of this replica: it is about a call at another one, or about none. Then it is a
 * target of its own kind, which policy grants or not.
 */
async function askStanding(
  rooms: Rooms,
  { hearer, session, seen }: { hearer: Hearer; session: ClientSession; seen: Seen },
  { upstream, question }: Asked,
  to: Asking,
  signal: AbortSignal,
): Promise<ClientAnswer> {
  const { sessionKey } = hearer;
  const aside = await rooms.asides?.ask({ sessionKey, upstream }, question, signal);
  if (aside !== undefined) return aside;
  const { kind, method, params } = question;
  const deciding = hearing(rooms, hearer);
  const target = rooms.catalog.view(hearer.server).own(upstream, kind);
  const decision = decide(deciding, rooms, [{ target, arguments: {} }]);
  const code =
    decision.effect === "deny"
      ? "interaction_refused"
      : declares(session.clientCapabilities, question)
        ? "ok"
        : "capability_missing";
  const { now } = deciding.context;
  await record(
    rooms,
    { ...seen, now, revision: deciding.policy.revision },
    {
      effect: code === "ok" ? "allow" : "deny",
      code,
      method,
      target: { upstream, kind, name: "" },
      target_sha256: target.digest,
      arguments_sha256: sha256(params),
      grant: decision.grant,
      reasons: decision.effect === "deny" ? decision.reasons : [],
      within: hearer.decisionId,
    },
    rooms.decisions.newId(),
    [target],
  );
  if (code !== "ok") throw new PortcullisError(code);
  return rooms.questions.ask(session.id, question, to, signal);
}
