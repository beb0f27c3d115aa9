import { isJsonObject, type Json } from "../lib/json.ts";

const MAX_LINES = 20;
const MAX_VALUE = 120;
/** Of what is the same, before what differs. */
const CONTEXT = 20;

/** What changed between two definitions (canonical JSON text): one readable line for each place, bounded. */
export function describeDrift(pinned: string, now: string): readonly string[] {
  const lines: string[] = [];
  compare(JSON.parse(pinned), JSON.parse(now), "", lines);
  // Equal values, unequal text: numbers that differ only beyond what a double holds.
  if (lines.length === 0) lines.push("a number changed beyond 2^53");
  const more = lines.length - MAX_LINES;
  return more > 0 ? [...lines.slice(0, MAX_LINES), `and ${more} more`] : lines;
}

function compare(before: Json | undefined, after: Json | undefined, path: string, lines: string[]): void {
  if (isJsonObject(before) && isJsonObject(after)) {
    const keys = [...new Set([...Object.keys(before), ...Object.keys(after)])].sort();
    for (const key of keys) compare(own(before, key), own(after, key), `${path}/${key}`, lines);
  } else if (JSON.stringify(before) !== JSON.stringify(after)) {
    const [from, to] = [textOf(before), textOf(after)];
    const start = windowOf(from, to);
    lines.push(`${escaped(path)}: ${shown(from, start)} -> ${shown(to, start)}`);
  }
}

function own(object: { readonly [key: string]: Json }, key: string): Json | undefined {
  return Object.hasOwn(object, key) ? object[key] : undefined;
}

function textOf(value: Json | undefined): string {
  return value === undefined ? "(absent)" : escaped(JSON.stringify(value));
}

/** What hides, reorders or steers a terminal is seen by its number: an upstream's text is shown to who approves it. */
function escaped(text: string): string {
  return text.replaceAll(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu,
    (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`,
  );
}

/** Where to show both from: what differs must not be cut off behind a long beginning that is the same. */
function windowOf(before: string, after: string): number {
  let same = 0;
  while (same < before.length && before[same] === after[same]) same++;
  return same <= MAX_VALUE / 2 ? 0 : same - CONTEXT;
}

function shown(text: string, start: number): string {
  const end = start + MAX_VALUE;
  const more = text.length - end;
  return `${start > 0 ? "…" : ""}${text.slice(start, end)}${more > 0 ? `… (${more} more characters)` : ""}`;
}
