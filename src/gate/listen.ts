import type { Listed } from "../domain.ts";
import { isJsonObject, type JsonObject } from "../lib/json.ts";
import { joinMembers, membersOf } from "../lib/members.ts";
import { META } from "../protocol/versions.ts";
import type { Ask } from "./ask.ts";
import { describe, serverInfoOf } from "./description.ts";
import { openFeed, type Wants } from "./feed.ts";
import type { Hearer } from "./hearer.ts";
import { beginLife } from "./life.ts";
import { record } from "./records.ts";
import { readable } from "./resources.ts";
import type { Rooms } from "./rooms.ts";

const FLAGS = {
  toolsListChanged: "tools",
  promptsListChanged: "prompts",
  resourcesListChanged: "resources",
} as const;

/** subscriptions/listen: what a modern client hears outside of its requests, as long as it stays (MCP 2026-07-28). */
export async function listen(ask: Ask, rooms: Rooms): Promise<void> {
  const { answer, message, identity } = ask;
  const { notifications } = message.params;
  const requested = isJsonObject(notifications) ? notifications : {};
  const honored = honoredOf(ask, rooms, requested);
  const life = beginLife(identity, rooms, ask.signal);
  try {
    void life.over.then(rooms.streams.listen(ask.principalKey, life.end));
    const id = rooms.decisions.newId();
    await record(rooms, ask.seen, allowed(requested, honored), id);
    const tell = (method: string, params: string) => answer.notify(method, stamped(params, message.id));
    tell("notifications/subscriptions/acknowledged", JSON.stringify({ notifications: honored }));
    if (Object.keys(honored).length > 0) {
      ask.rest();
      const feed = openFeed(rooms, { hearer: hearerOf(ask, id), era: "modern", deliver: tell });
      await Promise.race([feed.want(wantsOf(honored)), life.over]);
      await life.over;
      feed.close();
    }
    const serverInfo = serverInfoOf(rooms, ask.seen.server);
    const _meta = { [META.subscriptionId]: message.id, [META.serverInfo]: serverInfo };
    answer.result(JSON.stringify({ resultType: "complete", _meta }));
  } finally {
    life.end();
  }
}

/** What was asked for, and what of it is not heard. */
function allowed(requested: JsonObject, honored: JsonObject) {
  const heard = new Set([...Object.keys(honored), ...urisOf(honored)]);
  const cut = [...Object.keys(FLAGS).filter((flag) => requested[flag] === true), ...urisOf(requested)];
  const reasons = cut.filter((one) => !heard.has(one)).map((one) => `not heard: ${one}`);
  return { effect: "allow", code: "ok", arguments: requested, reasons } as const;
}

function hearerOf({ identity, seen, sessionKey, who, clientInfo }: Ask, decisionId: string): Hearer {
  return {
    ...{ identity, who, clientInfo, decisionId },
    server: seen.server,
    sessionKey: `${sessionKey} listen ${decisionId}`,
    ownsSessions: true,
    clientCapabilities: null,
  };
}

/** What of the filter this client will hear: lists that its server has, resources that it may read now. */
function honoredOf(ask: Ask, rooms: Rooms, requested: JsonObject): JsonObject {
  const view = rooms.catalog.view(ask.seen.server);
  const { capabilities } = describe(ask, rooms);
  const flags = Object.entries(FLAGS).filter(
    ([flag, list]) => requested[flag] === true && isJsonObject(capabilities[list]),
  );
  const { resources } = capabilities;
  const uris =
    isJsonObject(resources) && resources.subscribe === true
      ? urisOf(requested).filter((uri) => readable(ask, rooms, view, uri))
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
  return { lists: new Set(lists), uris: new Set(urisOf(honored)), logLevel: undefined };
}

function urisOf({ resourceSubscriptions: uris }: JsonObject): readonly string[] {
  return Array.isArray(uris) ? uris.map(String) : [];
}

function stamped(params: string, id: string | number): string {
  const members = membersOf(params);
  const meta = membersOf(members.get("_meta") ?? "{}");
  meta.set(META.subscriptionId, JSON.stringify(id));
  return joinMembers(members.set("_meta", joinMembers(meta)));
}
