import { isJsonObject, type Json } from "../lib/json.ts";

const MAX_LINES = 20;
const MAX_VALUE = 120;

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
    lines.push(`${path}: ${shown(before)} -> ${shown(after)}`);
  }
}

function own(object: { readonly [key: string]: Json }, key: string): Json | undefined {
  return Object.hasOwn(object, key) ? object[key] : undefined;
}

function shown(value: Json | undefined): string {
  const text = value === undefined ? "(absent)" : JSON.stringify(value);
  return text.length <= MAX_VALUE ? text : `${text.slice(0, MAX_VALUE)}…`;
}
