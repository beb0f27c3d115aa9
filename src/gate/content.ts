import type { CatalogView } from "../catalog/view.ts";
import { elementsOf, joinMembers, membersOf } from "../lib/members.ts";
import type { Deciding } from "./decision.ts";
import { embeddable, readable } from "./resources.ts";
import type { Rooms } from "./rooms.ts";

/** A result as its caller may see it, and how many parts were left out. */
export interface Presented {
  readonly text: string;
  readonly withheld: number;
}

type May = (exposedUri: string) => boolean;

interface Doors {
  /** An upstream's URI as this virtual server exposes it. */
  expose(uri: string): string | undefined;
  readonly mayRead: May;
  readonly mayEmbed: May;
}

/**
 * Leaves out links to resources that this principal cannot read and contents of those it may not see, and exposes the
 * URIs of what stays. Everything else passes as the bytes it was sent in.
 */
export function present(
  ask: Deciding,
  rooms: Pick<Rooms, "capabilities">,
  view: CatalogView,
  upstream: string,
  text: string,
): Presented {
  // Nothing names a resource without this word; an escaped one is looked at as well.
  if (!text.includes("resource") && !text.includes("contents") && !text.includes("\\u"))
    return { text, withheld: 0 };
  const doors: Doors = {
    expose: (uri) => view.exposeUri(upstream, uri),
    mayRead: (uri) => readable(ask, rooms, view, uri),
    mayEmbed: (uri) => embeddable(ask, rooms, view, uri),
  };
  const members = membersOf(text);
  const parts = [
    replaceIn(members, "content", (blocks) => eachBlock(blocks, doors)),
    replaceIn(members, "contents", (contents) =>
      each(contents, (one) => resource(one, doors.mayEmbed, doors)),
    ),
    replaceIn(members, "messages", (messages) => each(messages, (one) => message(one, doors))),
  ];
  if (parts.every((part) => part === UNTOUCHED)) return { text, withheld: 0 };
  return { text: joinMembers(members), withheld: parts.reduce((sum, { withheld }) => sum + withheld, 0) };
}

const UNTOUCHED = { withheld: 0 };

function replaceIn(
  members: Map<string, string>,
  member: string,
  presented: (text: string) => Presented,
): { readonly withheld: number } {
  const before = members.get(member);
  if (before === undefined || !/^[[{]/.test(before)) return UNTOUCHED;
  const after = presented(before);
  if (after.text === before) return UNTOUCHED;
  members.set(member, after.text);
  return after;
}

/** The elements of an array, less those that are undefined afterwards. */
function each(text: string, one: (element: string) => Presented | undefined): Presented {
  if (!text.startsWith("[")) return { text, withheld: 0 };
  const before = elementsOf(text);
  const after = before.map(one);
  const kept = after.filter((part) => part !== undefined);
  if (kept.length === before.length && kept.every((part, at) => part.text === before[at]))
    return { text, withheld: 0 };
  return {
    text: `[${kept.map((part) => part.text).join(",")}]`,
    withheld: before.length - kept.length + kept.reduce((sum, part) => sum + part.withheld, 0),
  };
}

const kept = (text: string): Presented => ({ text, withheld: 0 });

/** Content blocks, or the one that stands alone in a prompt's message. */
function eachBlock(text: string, doors: Doors): Presented {
  if (text.startsWith("[")) return each(text, (element) => block(element, doors));
  return block(text, doors) ?? { text: WITHHELD, withheld: 1 };
}

/** A prompt's message must have content: what is left out says so. */
const WITHHELD = '{"type":"text","text":"[left out by policy]"}';

function message(text: string, doors: Doors): Presented {
  if (!text.startsWith("{")) return kept(text);
  const members = membersOf(text);
  const { withheld } = replaceIn(members, "content", (content) => eachBlock(content, doors));
  return { text: joinMembers(members), withheld };
}

function block(text: string, doors: Doors): Presented | undefined {
  if (!text.startsWith("{")) return kept(text);
  const members = membersOf(text);
  const type = stringOf(members.get("type"));
  if (type === "resource_link") return resource(text, doors.mayRead, doors);
  const inner = members.get("resource");
  if (type !== "resource" || inner === undefined || !inner.startsWith("{")) return kept(text);
  const shown = resource(inner, doors.mayEmbed, doors);
  if (shown === undefined) return undefined;
  return shown.text === inner ? kept(text) : kept(joinMembers(members.set("resource", shown.text)));
}

/** Anything with a `uri`: undefined where it may not be seen. */
function resource(text: string, may: May, { expose }: Doors): Presented | undefined {
  if (!text.startsWith("{")) return kept(text);
  const members = membersOf(text);
  const uri = stringOf(members.get("uri"));
  if (uri === undefined) return kept(text);
  const exposed = expose(uri);
  if (exposed === undefined || !may(exposed)) return undefined;
  return exposed === uri ? kept(text) : kept(joinMembers(members.set("uri", JSON.stringify(exposed))));
}

function stringOf(text: string | undefined): string | undefined {
  const value: unknown = text === undefined ? undefined : JSON.parse(text);
  return typeof value === "string" ? value : undefined;
}
