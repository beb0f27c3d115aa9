import type { CatalogView } from "../catalog/view.ts";
import type { Era, ListedKind, Target } from "../domain.ts";
import { digest, isJsonObject, type JsonObject } from "../lib/json.ts";
import { elementsOf, joinMembers, membersOf } from "../lib/members.ts";
import type { OpenCapability } from "../policy/capability.ts";
import type { Listing } from "../policy/narrow.ts";
import { listResult, translateTool } from "../protocol/results.ts";
import { withReadableApp } from "./app.ts";
import type { Ask } from "./ask.ts";
import { pageOf } from "./cursor.ts";
import type { Deciding } from "./decision.ts";
import { serverInfoOf } from "./description.ts";
import { record } from "./records.ts";
import { readable } from "./resources.ts";
import type { Rooms } from "./rooms.ts";

/** The member of a list's result that holds the definitions. */
const MEMBERS = {
  tool: "tools",
  resource: "resources",
  template: "resourceTemplates",
  prompt: "prompts",
} as const;

/** tools/list and its like: what this principal can use, each as it may be used. */
export function list(kind: ListedKind): (ask: Ask, rooms: Rooms) => Promise<void> {
  return async (ask, rooms) => {
    const view = rooms.catalog.view(ask.seen.server);
    const usable = usableOf(kind, ask, rooms, view);
    const listDigest = digestOf(usable);
    const page = pageOf(usable, listDigest, ask.message.params.cursor, rooms.limits.page);
    await record(rooms, ask.seen, {
      effect: "allow",
      code: "ok",
      listed: usable.length,
      of: view.of(kind).length,
      targets_sha256: listDigest,
    });
    const definitions = page.items.map((usable) =>
      withReadableApp(listedDefinition(usable, ask.message.era), (uri) => readable(ask, rooms, view, uri)),
    );
    const serverInfo = serverInfoOf(rooms, ask.seen.server);
    ask.answer.result(listResult(ask.message.era, MEMBERS[kind], definitions, page.next, serverInfo));
  };
}

/** A target that this principal can use. */
interface Usable {
  readonly target: Target;
  readonly capability: OpenCapability;
}

/** What a list shows: the targets that a call, read or get would find. */
export function usableOf(
  kind: ListedKind,
  ask: Deciding,
  rooms: Pick<Rooms, "capabilities">,
  view: CatalogView,
): readonly Usable[] {
  const targets = view.of(kind);
  const capabilities = rooms.capabilities.of(ask.policy, ask.context, targets);
  return targets.flatMap((target, at) => {
    const capability = capabilities[at];
    if (capability?.listed !== true) return [];
    if (kind === "resource" && !readable(ask, rooms, view, target.exposedName)) return [];
    return [{ target, capability }];
  });
}

/** Changes whenever the list would. */
function digestOf(usable: readonly Usable[]): string {
  return digest(usable.map(({ target }) => target.digest));
}

const texts = {
  legacy: new WeakMap<OpenCapability, string>(),
  modern: new WeakMap<OpenCapability, string>(),
};

/** The definition as announced, under its exposed name, narrowed to what this principal may send. */
export function listedDefinition({ target, capability }: Usable, era: Era): string {
  const known = texts[era].get(capability);
  if (known !== undefined) return known;
  const members = new Map(target.kind === "tool" ? translateTool(target.definition, era) : target.definition);
  members.set(NAMED_BY[target.kind] ?? "name", JSON.stringify(target.exposedName));
  narrowMembers(members, target, capability.listing());
  const text = joinMembers(members);
  texts[era].set(capability, text);
  return text;
}

const NAMED_BY: Partial<Record<Target["kind"], string>> = { resource: "uri", template: "uriTemplate" };

/** Only a tool has a schema to show; what else takes arguments says in words how they are bounded. */
function narrowMembers(members: Map<string, string>, target: Target, listing: Listing): void {
  const { inputSchema, note } = listing;
  const narrowed = JSON.stringify(inputSchema);
  // What policy leaves alone keeps the upstream's own bytes.
  if (narrowed !== JSON.stringify(target.inputSchema)) {
    if (target.kind === "tool") members.set("inputSchema", narrowed);
    if (target.kind === "prompt") narrowArguments(members, inputSchema);
  }
  const said = target.kind === "tool" ? note : listing.words();
  if (said !== "") members.set("description", JSON.stringify(described(members, said)));
}

/** A prompt's arguments are a list of names: those that the caller may not send are not in it. */
function narrowArguments(members: Map<string, string>, { properties, required }: JsonObject): void {
  const before = members.get("arguments");
  if (before === undefined || !before.startsWith("[") || !isJsonObject(properties)) return;
  const needed = new Set(Array.isArray(required) ? required : []);
  const left = elementsOf(before).flatMap((element) => {
    const argument = membersOf(element);
    const name: unknown = JSON.parse(argument.get("name") ?? "null");
    if (typeof name !== "string" || !Object.hasOwn(properties, name) || properties[name] === false) return [];
    const now = needed.has(name);
    if ((argument.get("required") === "true") === now) return [element];
    return [joinMembers(argument.set("required", String(now)))];
  });
  members.set("arguments", `[${left.join(",")}]`);
}

function described(members: ReadonlyMap<string, string>, said: string): string {
  const description: unknown = JSON.parse(members.get("description") ?? "null");
  return typeof description === "string" && description !== "" ? `${description}\n\n${said}` : said;
}
