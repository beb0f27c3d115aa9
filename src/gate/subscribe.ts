import { PortcullisError } from "../lib/errors.ts";
import { EMPTY_RESULT } from "../protocol/results.ts";
import type { ClientSession } from "../protocol/sessions.ts";
import { isLogLevel } from "../protocol/shapes.ts";
import type { Ask } from "./ask.ts";
import { capabilityOf } from "./decision.ts";
import { record } from "./records.ts";
import { byUri, canonicalUri } from "./resources.ts";
import type { Rooms } from "./rooms.ts";
import { use } from "./use.ts";

/** resources/subscribe: decided as a read of the resource, and again whenever it is updated. */
export async function subscribe(ask: Ask, rooms: Rooms): Promise<void> {
  const session = sessionOf(ask);
  const view = rooms.catalog.view(ask.seen.server);
  const wanted = byUri(ask, rooms);
  const upstream = wanted.matches[0]?.target.upstream ?? "";
  const uri = canonicalUri(ask.message, view);
  const told = await use(ask, rooms, {
    ...wanted,
    // What is heard of is what was asked for: no other resource of the same template.
    params: (match, args) => (args === match.arguments ? wanted.params(match, args) : undefined),
    // Before the client hears that it is subscribed, and before the upstream has anything to say.
    onAllowed: () => change(rooms, session, (kept) => [...kept.filter((one) => one !== uri), uri]),
    // A modern upstream has no such request: the stream of the session listens for it.
    answered: view.upstreams.get(upstream)?.era === "modern" ? EMPTY_RESULT : undefined,
  });
  if (told?.isError) await change(rooms, session, (kept) => kept.filter((one) => one !== uri));
}

/** resources/unsubscribe: hears less, so nothing has to allow it. The session's stream tells the upstream. */
export async function unsubscribe(ask: Ask, rooms: Rooms): Promise<void> {
  const uri = canonicalUri(ask.message, rooms.catalog.view(ask.seen.server));
  await record(rooms, ask.seen, { effect: "allow", code: "ok", named: uri });
  await change(rooms, sessionOf(ask), (kept) => kept.filter((one) => one !== uri));
  ask.answer.result(EMPTY_RESULT);
}

function change(rooms: Rooms, { id }: ClientSession, to: (kept: readonly string[]) => readonly string[]) {
  return rooms.sessions.update(id, ({ subscriptions }) => ({ subscriptions: to(subscriptions) }));
}

/** logging/setLevel: for who may hear at least one of the servers speak of itself. */
export async function setLevel(ask: Ask, rooms: Rooms): Promise<void> {
  const session = sessionOf(ask);
  const view = rooms.catalog.view(ask.seen.server);
  const servers = [...view.upstreams.keys()].map((upstream) => view.own(upstream, "server"));
  const open = servers.some((server) => capabilityOf(ask, rooms, server).listed);
  const { level } = ask.message.params;
  await record(rooms, ask.seen, {
    effect: open ? "allow" : "deny",
    code: open ? "ok" : "not_found",
    arguments: { level: level ?? null },
  });
  if (!open) return void ask.answer.error(new PortcullisError("not_found"));
  await rooms.sessions.update(session.id, () => (isLogLevel(level) ? { logLevel: level } : {}));
  ask.answer.result(EMPTY_RESULT);
}

function sessionOf({ session }: Ask) {
  if (session === null) throw new PortcullisError("session_required");
  return session;
}
