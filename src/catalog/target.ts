import type { Target, TargetId, TargetKind } from "../domain.ts";
import { sha256 } from "../lib/json.ts";
import { joinMembers, membersOf, scalarIn } from "../lib/members.ts";
import type { Definition } from "./definition.ts";
import { NO_ARGUMENTS } from "./kinds.ts";

/** From configuration: the only source of labels. */
export type Labels = (upstream: string, kind: TargetKind, name: string) => readonly string[];

/** A target of what its upstream lists. `exposeUri` says how URIs in its definition read on the virtual server. */
export function listedTarget(
  { upstream, exposedName }: Pick<Target, "upstream" | "exposedName">,
  definition: Definition,
  labels: Labels,
  exposeUri: (uri: string) => string | undefined,
): Target {
  const { kind, name, members, inputSchema, announced, paramHeaders, announcedDigest } = definition;
  return Object.freeze({
    ...identified({ upstream, kind, name }, labels, announcedDigest),
    announced,
    exposedName,
    definition: kind === "tool" ? withAppUri(members, exposeUri) : members,
    inputSchema,
    ...(paramHeaders && { paramHeaders }),
  });
}

/** A target of what no upstream lists: an upstream itself, its questions, a resource that was only linked to. */
export function unlistedTarget(id: TargetId, exposedName: string, labels: Labels): Target {
  return Object.freeze({
    ...identified(id, labels, ""),
    announced: {},
    exposedName,
    definition: new Map(),
    inputSchema: NO_ARGUMENTS,
  });
}

function identified({ upstream, kind, name }: TargetId, labels: Labels, announcedDigest: string) {
  const sorted = Object.freeze([...new Set(labels(upstream, kind, name))].sort());
  const digest = sha256(JSON.stringify([upstream, kind, name, sorted, announcedDigest]));
  return { upstream, kind, name, labels: sorted, digest };
}

/** MCP Apps: a tool names its view's resource, `_meta.ui.resourceUri` or the older flat `_meta["ui/resourceUri"]`. */
function withAppUri(
  members: ReadonlyMap<string, string>,
  exposeUri: (uri: string) => string | undefined,
): ReadonlyMap<string, string> {
  const text = members.get("_meta") ?? "";
  if (!text.includes("resourceUri") || !text.startsWith("{")) return members;
  const meta = replaced(membersOf(text), "ui/resourceUri", exposeUri);
  const ui = meta.get("ui") ?? "";
  if (ui.startsWith("{")) {
    const [before, after] = [membersOf(ui), replaced(membersOf(ui), "resourceUri", exposeUri)];
    if (before.get("resourceUri") !== after.get("resourceUri")) meta.set("ui", joinMembers(after));
  }
  const same = [...membersOf(text)].every(([key, value]) => meta.get(key) === value);
  return same ? members : new Map(members).set("_meta", joinMembers(meta));
}

function replaced(
  members: Map<string, string>,
  key: string,
  exposeUri: (uri: string) => string | undefined,
): Map<string, string> {
  const uri = scalarIn(members.get(key));
  const exposed = typeof uri === "string" ? exposeUri(uri) : undefined;
  return exposed === undefined || exposed === uri ? members : members.set(key, JSON.stringify(exposed));
}
