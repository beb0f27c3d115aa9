import type { Listed } from "../domain.ts";
import { isJsonObject, type JsonObject } from "../lib/json.ts";
import { joinMembers, membersOf } from "../lib/members.ts";
import { META } from "../protocol/versions.ts";
import type { Ask } from "./ask.ts";
import { describe } from "./description.ts";
import { openFeed, type Wants } from "./feed.ts";
import { record } from "./records.ts";
import { readable } from "./resources.ts";
import type { Rooms } from "./rooms.ts";
import { whenExpired } from "./stream.ts";

const FLAGS = {
  toolsListChanged: "tools",
  promptsListChanged: "prompts",
  resourcesListChanged: "resources",
} as const;

/** subscriptions/listen: what a modern client hears outside of its requests, as long as it stays (MCP 2026-07-28). */
export async function listen(ask: Ask, rooms: Rooms): Promise<void> {
  const requested = ask.message.params.notifications;
  const honored = honoredOf(ask, rooms, isJsonObject(requested) ? requested : {});
  const id = rooms.log.newId();
  await record(rooms, ask.seen, { effect: "allow", code: "ok", arguments: honored, reasons: [] }, id);
  const { answer, message } = ask;
  const tell = (method: string, params: string) => answer.notify(method, stamped(params, message.id));
  const { capabilities: _, ...described } = describe(ask, rooms);
  const done = JSON.stringify({
    resultType: "complete",
    _meta: { [META.subscriptionId]: message.id, [META.serverInfo]: described.serverInfo },
  });

  tell("notifications/subscriptions/acknowledged", JSON.stringify({ notifications: honored }));
  if (Object.keys(honored).length === 0) return void answer.result(done);
  const feed = openFeed(rooms, {
    hearer: {
      identity: ask.identity,
      server: ask.seen.server,
      owner: `${ask.owner} listen ${id}`,
      who: ask.who,
      clientInfo: ask.clientInfo,
      clientCapabilities: null,
      decisionId: id,
    },
    deliver: tell,
  });
  await feed
    .want(wantsOf(honored))
    .catch((err: unknown) => rooms.operations.warn({ err }, "an upstream is not heard"));
  const expired = new Promise<void>((resolve) => {
    const timer = whenExpired(ask.identity, rooms, resolve);
    ask.signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
    if (ask.signal.aborted) resolve();
  });
  await expired;
  feed.close();
  answer.result(done);
}

/** What of the filter this client will hear: lists that its server has, resources that it may read now. */
function honoredOf(ask: Ask, rooms: Rooms, requested: JsonObject): JsonObject {
  const view = rooms.catalog.view(ask.seen.server);
  const { capabilities } = describe(ask, rooms);
  const flags = Object.entries(FLAGS).filter(
    ([flag, list]) => requested[flag] === true && isJsonObject(capabilities[list]),
  );
  const { resources } = capabilities;
  const wanted = Array.isArray(requested.resourceSubscriptions)
    ? requested.resourceSubscriptions.map(String)
    : [];
  const uris =
    isJsonObject(resources) && resources.subscribe === true
      ? wanted.filter((uri) => readable(ask, rooms, view, uri))
      : [];
  return {
    ...Object.fromEntries(flags.map(([flag]) => [flag, true])),
    ...(uris.length > 0 && { resourceSubscriptions: uris }),
  };
}

function wantsOf(honored: JsonObject): Wants {
  const lists = Object.entries(FLAGS).flatMap(([flag, list]): Listed[] =>
    honored[flag] === true ? [list] : [],
  );
  const uris = Array.isArray(honored.resourceSubscriptions) ? honored.resourceSubscriptions.map(String) : [];
  return { lists: new Set(lists), uris: new Set(uris), logLevel: undefined };
}

function stamped(params: string, id: string | number): string {
  const members = membersOf(params);
  const meta = membersOf(members.get("_meta") ?? "{}");
  meta.set(META.subscriptionId, JSON.stringify(id));
  return joinMembers(members.set("_meta", joinMembers(meta)));
}
