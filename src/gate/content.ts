import type { CatalogView } from "../catalog/view.ts";
import { elementsOf, joinMembers, membersOf, scalarIn } from "../lib/members.ts";
import type { Deciding } from "./decision.ts";
import { embeddable, readable } from "./resources.ts";
import type { Rooms } from "./rooms.ts";

/** A result as its caller may see it, and how many parts were left out. */
export interface Presented {
  readonly text: string;
  readonly withheld: number;
}

/** The exposed URI of a resource that may be shown; undefined: it may not. */
type Show = (uri: string) => string | undefined;

/** The resource whose reading was decided already, in its upstream's words, and what its reader calls it. */
export interface Read {
  readonly uri: string;
  readonly exposed: string;
}

interface Doors {
  readonly link: Show;
  readonly embed: Show;
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
  read?: Read,
): Presented {
  // Nothing names a resource without this word; an escaped one is looked at as well.
  if (!text.includes("resource") && !text.includes("contents") && !text.includes("\\u")) return kept(text);
  const budget = { uris: MAX_URIS, effort: MAX_EFFORT };
  const embed = judged(budget, view, upstream, (uri) => embeddable(ask, rooms, view, uri));
  return presented(text, {
    link: judged(budget, view, upstream, (uri) => readable(ask, rooms, view, uri)),
    embed: (uri) => (uri === read?.uri ? read.exposed : embed(uri)),
  });
}

/** URIs of one result that are decided about, as each may cost an evaluation; what comes after them is left out. */
const MAX_URIS = 1000;
/** Characters of them that are matched against templates. */
const MAX_EFFORT = 1 << 20;

function judged(
  budget: { uris: number; effort: number },
  view: CatalogView,
  upstream: string,
  may: (exposed: string) => boolean,
): Show {
  const known = new Map<string, string | undefined>();
  return (uri) => {
    if (known.has(uri)) return known.get(uri);
    const exposed = view.exposeUri(upstream, uri);
    budget.uris -= 1;
    budget.effort -= exposed === undefined ? 0 : view.effort(exposed);
    if (budget.uris < 0 || budget.effort < 0) return undefined;
    const shown = exposed !== undefined && may(exposed) ? exposed : undefined;
    known.set(uri, shown);
    return shown;
  };
}

function presented(text: string, doors: Doors): Presented {
  const blocks = { content: (part: string) => content(part, doors) };
  return within(text, {
    ...blocks,
    contents: (contents) => each(contents, (one) => resource(one, doors.embed)),
    messages: (messages) => each(messages, (one) => within(one, blocks)),
    // A modern task that is done holds the result of its call (SEP-2663).
    result: (result) => within(result, blocks),
  });
}

type Present = (text: string) => Presented;

const kept: Present = (text) => ({ text, withheld: 0 });

/** An object with some of its members presented; the same text where none of them changed. */
function within(text: string, members: Readonly<Record<string, Present>>): Presented {
  if (!text.startsWith("{")) return kept(text);
  const all = membersOf(text);
  let withheld = 0;
  let changed = false;
  for (const [name, show] of Object.entries(members)) {
    const before = all.get(name);
    if (before === undefined) continue;
    const after = show(before);
    if (after.text === before) continue;
    all.set(name, after.text);
    withheld += after.withheld;
    changed = true;
  }
  return changed ? { text: joinMembers(all), withheld } : kept(text);
}

/** The elements of an array, less those that are undefined afterwards. */
function each(text: string, one: (element: string) => Presented | undefined): Presented {
  if (!text.startsWith("[")) return kept(text);
  const before = elementsOf(text);
  const after = before.map(one);
  if (after.every((part, at) => part?.text === before[at])) return kept(text);
  const left = after.filter((part) => part !== undefined);
  return {
    text: `[${left.map((part) => part.text).join(",")}]`,
    withheld: left.reduce((sum, part) => sum + part.withheld, before.length - left.length),
  };
}

/** A prompt's message must have content: what is left out says so. */
const WITHHELD = '{"type":"text","text":"[left out by policy]"}';

/** Content blocks, or the one that stands alone in a prompt's message. */
function content(text: string, doors: Doors): Presented {
  if (text.startsWith("[")) return each(text, (element) => block(element, doors));
  return block(text, doors) ?? { text: WITHHELD, withheld: 1 };
}

function block(text: string, { link, embed }: Doors): Presented | undefined {
  if (!text.startsWith("{")) return kept(text);
  const members = membersOf(text);
  const type = stringOf(members.get("type"));
  if (type === "resource_link") return resource(text, link);
  const inner = members.get("resource");
  if (type !== "resource" || inner === undefined) return kept(text);
  const shown = resource(inner, embed);
  if (shown === undefined) return undefined;
  return shown.text === inner ? kept(text) : kept(joinMembers(members.set("resource", shown.text)));
}

/** Anything with a `uri`: undefined where it may not be seen. */
function resource(text: string, show: Show): Presented | undefined {
  if (!text.startsWith("{")) return kept(text);
  const members = membersOf(text);
  const uri = stringOf(members.get("uri"));
  if (uri === undefined) return kept(text);
  const exposed = show(uri);
  if (exposed === undefined) return undefined;
  return exposed === uri ? kept(text) : kept(joinMembers(members.set("uri", JSON.stringify(exposed))));
}

function stringOf(text: string | undefined): string | undefined {
  const value = scalarIn(text);
  return typeof value === "string" ? value : undefined;
}
