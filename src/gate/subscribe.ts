import { PortcullisError } from "../lib/errors.ts";
import { EMPTY_RESULT } from "../protocol/results.ts";
import { isLogLevel } from "../protocol/shapes.ts";
import type { Ask } from "./ask.ts";
import { capabilityOf } from "./decision.ts";
import { record } from "./records.ts";
import type { Rooms } from "./rooms.ts";
import { use } from "./use.ts";

/** resources/subscribe: decided as a read of the resource, and again whenever it is updated. */
export async function subscribe(ask: Ask, rooms: Rooms): Promise<void> {
  const { name: uri = "", params } = ask.message;
  const session = sessionOf(ask);
  const view = rooms.catalog.view(ask.seen.server);
  const address = view.resource(uri);
  const matches = address?.matches ?? [];
  const told = await use(ask, rooms, {
    named: { upstream: "", kind: "resource", name: uri },
    arguments: matches[0]?.arguments ?? {},
    matches,
    params: () => ({ ...params, uri: address?.uri ?? uri }),
    // A modern upstream has no such request: the stream of the session listens for it.
    answered: view.upstreams.get(address?.upstream ?? "")?.era === "modern" ? EMPTY_RESULT : undefined,
  });
  if (told === undefined || told.isError) return;
  await rooms.sessions.update(session.id, ({ subscriptions }) => ({
    subscriptions: [...subscriptions.filter((one) => one !== uri), uri],
  }));
}

/** resources/unsubscribe: hears less, so nothing has to allow it. The session's stream tells the upstream. */
export async function unsubscribe(ask: Ask, rooms: Rooms): Promise<void> {
  const { name: uri = "" } = ask.message;
  await record(rooms, ask.seen, { effect: "allow", code: "ok" });
  await rooms.sessions.update(sessionOf(ask).id, ({ subscriptions }) => ({
    subscriptions: subscriptions.filter((one) => one !== uri),
  }));
  ask.answer.result(EMPTY_RESULT);
}

/** logging/setLevel: for who may hear at least one of the servers speak of itself. */
export async function setLevel(ask: Ask, rooms: Rooms): Promise<void> {
  const session = sessionOf(ask);
  const view = rooms.catalog.view(ask.seen.server);
  const open = [...view.upstreams.keys()].some(
    (upstream) => capabilityOf(ask, rooms, view.own(upstream, "server")).listed,
  );
  await record(rooms, ask.seen, {
    effect: open ? "allow" : "deny",
    code: open ? "ok" : "not_found",
    target: { upstream: "", kind: "server", name: "" },
  });
  if (!open) return void ask.answer.error(new PortcullisError("not_found"));
  const { level } = ask.message.params;
  await rooms.sessions.update(session.id, () => (isLogLevel(level) ? { logLevel: level } : {}));
  ask.answer.result(EMPTY_RESULT);
}

function sessionOf({ session }: Ask) {
  if (session === null) throw new PortcullisError("session_required");
  return session;
}
