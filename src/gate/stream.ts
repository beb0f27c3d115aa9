import type { ClientAnswer, EventStream, Exchange, Identity, Question } from "../domain.ts";
import { PortcullisError } from "../lib/errors.ts";
import { sha256 } from "../lib/json.ts";
import { membersOf } from "../lib/members.ts";
import { notificationText, requestText } from "../protocol/answers.ts";
import type { Missed } from "../protocol/events.ts";
import type { ClientSession } from "../protocol/sessions.ts";
import { capabilityOf } from "./decision.ts";
import { type Feed, openFeed, type Wants } from "./feed.ts";
import { type Hearer, hearing } from "./hearer.ts";
import { declares } from "./interaction.ts";
import { FOLLOWED, LINGER_MS, NEWS } from "./outbox.ts";
import { whoOf } from "./principal.ts";
import { record, type Seen } from "./records.ts";
import type { Rooms } from "./rooms.ts";

interface Opening {
  readonly exchange: Exchange;
  readonly seen: Seen;
  readonly identity: Identity;
  readonly session: ClientSession;
}

/** Names of the streams that belong to no request start with this. */
const OWN = "get-";

/** GET: what the gateway has to say to a legacy client outside of its requests; or the rest of a stream that broke. */
export async function openStream(opening: Opening, rooms: Rooms): Promise<void> {
  const { exchange, seen, session } = opening;
  const id = rooms.log.newId();
  await record(rooms, seen, { effect: "allow", code: "ok", method: "GET" }, id);
  const last = exchange.header("last-event-id");
  const missed = last === undefined ? undefined : await rooms.events.after(session.id, last);
  const stream = exchange.reply.stream();
  const expiry = whenExpired(opening.identity, rooms, () => stream.end());
  try {
    if (missed === undefined || missed.stream.startsWith(OWN))
      await speak(opening, rooms, id, stream, missed);
    else await follow(opening, rooms, stream, missed);
  } finally {
    clearTimeout(expiry);
  }
}

/** The standing stream of a session: one at a time, the newest. */
async function speak(
  { exchange, identity, session }: Opening,
  rooms: Rooms,
  decisionId: string,
  stream: EventStream,
  missed: Missed | undefined,
): Promise<void> {
  for (const event of missed?.events ?? []) await stream.send(event.text, event.id);
  const name = missed?.stream ?? OWN + rooms.newId();
  let last: Promise<unknown> = Promise.resolve();
  const send = (text: string) => {
    last = last
      .then(async () => stream.send(text, await rooms.events.append(session.id, name, text)))
      .catch(() => {});
  };
  const hearer: Hearer = {
    identity,
    server: session.server,
    owner: `session ${session.id}`,
    who: whoOf(identity),
    clientInfo: session.clientInfo,
    clientCapabilities: session.clientCapabilities,
    decisionId,
  };
  const feed = openFeed(rooms, {
    hearer,
    deliver: (method, params) => send(notificationText(method, params)),
    ask: (upstream, question, signal) =>
      askStanding(rooms, hearer, session, upstream, question, signal, (asked, method, params) =>
        send(requestText(asked, method, params)),
      ),
  });
  const close = rooms.streams.take(session.id, () => {
    feed.close();
    stream.end();
  });
  const stop = rooms.sessions.watch(session.id, (changed) => {
    if (changed === undefined) close();
    else want(rooms, feed, changed);
  });
  want(rooms, feed, session);
  exchange.outlive(() => setTimeout(close, LINGER_MS).unref());
  await stream.closed;
  stop();
}

function want(rooms: Rooms, feed: Feed, { subscriptions, logLevel }: ClientSession): void {
  const wants: Wants = {
    lists: new Set(["tools", "resources", "prompts"]),
    uris: new Set(subscriptions),
    logLevel: logLevel ?? undefined,
  };
  feed.want(wants).catch((err: unknown) => rooms.operations.warn({ err }, "an upstream is not heard"));
}

/** A question that belongs to no request: a target of its own kind, which policy grants or not. */
async function askStanding(
  rooms: Rooms,
  hearer: Hearer,
  session: ClientSession,
  upstream: string,
  question: Question,
  signal: AbortSignal,
  send: (id: string, method: string, params: string) => void,
): Promise<ClientAnswer> {
  const { kind, method, params } = question;
  const deciding = hearing(rooms, hearer);
  const target = rooms.catalog.view(hearer.server).own(upstream, kind);
  const open = capabilityOf(deciding, rooms, target).listed && declares(session.clientCapabilities, question);
  const seen: Seen = {
    server: hearer.server,
    clientIp: "",
    now: deciding.context.now,
    traceId: "",
    identity: hearer.identity,
    revision: deciding.policy.revision,
  };
  await record(rooms, seen, {
    effect: open ? "allow" : "deny",
    code: open ? "ok" : "interaction_refused",
    method,
    target: { upstream, kind, name: "" },
    arguments_sha256: sha256(params),
    within: hearer.decisionId,
  });
  if (!open) throw new PortcullisError("interaction_refused");
  return rooms.questions.ask(session.id, question, send, signal);
}

/** The rest of a request's answer, from wherever it is being written, until it is whole. */
async function follow(
  { exchange, session }: Opening,
  rooms: Rooms,
  stream: EventStream,
  missed: Missed,
): Promise<void> {
  const name = missed.stream;
  let at = exchange.header("last-event-id") ?? "";
  let news = deferred();
  const stop = rooms.replicas.onMessage(NEWS, (message) => {
    if (message.stream === name) news.resolve();
  });
  const tell = (left: boolean) => rooms.replicas.broadcast(FOLLOWED, { stream: name, left }).catch(() => {});
  await tell(false);
  try {
    while (!exchange.signal.aborted) {
      const waiting = news;
      const found = await rooms.events.after(session.id, at);
      for (const { id, text } of found?.events ?? []) {
        await stream.send(text, id);
        at = id;
        if (isAnswer(text)) return;
      }
      if (found === undefined) return;
      if (waiting === news && found.events.length === 0) await Promise.race([news.promise, stream.closed]);
      news = deferred();
    }
  } finally {
    stop();
    if (exchange.signal.aborted) await tell(true);
    stream.end();
  }
}

function isAnswer(text: string): boolean {
  return !membersOf(text).has("method");
}

function deferred() {
  let resolve = (): void => {};
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}

/** The longest delay of a timer. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** A stream lives no longer than the token that opened it. */
export function whenExpired(
  { expires }: Identity,
  { clock }: Pick<Rooms, "clock">,
  end: () => void,
): NodeJS.Timeout {
  return setTimeout(end, Math.min(MAX_TIMER_MS, Math.max(0, expires * 1000 - clock()))).unref();
}
