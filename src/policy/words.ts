import type { Json } from "../lib/json.ts";
import { ANY_TYPE, ANYTHING, type Member, pointerTo, typeNames, type ValueSet } from "./value-set.ts";

/** A list in words is cut at this many characters. */
const MAX_LIST = 400;

const PHRASES: Readonly<Record<string, (value: Json) => string>> = {
  type: (value) => `be of type ${Array.isArray(value) ? value.join(" or ") : value}`,
  const: (value) => `be ${JSON.stringify(value)}`,
  enum: (value) => `be one of ${list(value)}`,
  minimum: (value) => `be at least ${value}`,
  maximum: (value) => `be at most ${value}`,
  exclusiveMinimum: (value) => `be more than ${value}`,
  exclusiveMaximum: (value) => `be less than ${value}`,
  multipleOf: (value) => `be a multiple of ${value}`,
  minLength: (value) => `have at least ${value} characters`,
  maxLength: (value) => `have at most ${value} characters`,
  pattern: (value) => `match the whole pattern ${value}`,
  format: (value) => `be a valid ${value}`,
  minItems: (value) => `have at least ${value} items`,
  maxItems: (value) => `have at most ${value} items`,
  uniqueItems: () => "have no two equal items",
  required: () => "be present",
  forbidden: () => "not be sent",
  others: () => "not be sent: it is not an argument here",
};

/** What a keyword asks for, to stand after "must". */
export function phrase(keyword: string, value: Json): string {
  return PHRASES[keyword]?.(value) ?? `meet ${keyword}`;
}

function list(value: Json): string {
  const text = Array.isArray(value) ? value.map((item) => JSON.stringify(item)).join(", ") : String(value);
  return text.length > MAX_LIST ? `${text.slice(0, MAX_LIST)}…` : text;
}

/** The keywords of a set, less its types, values, items and members. Patterns as RE2. */
export function keywords(set: ValueSet): readonly (readonly [keyword: string, value: Json])[] {
  const found: [string, Json][] = [];
  if (set.low > -Infinity) found.push([set.lowOpen ? "exclusiveMinimum" : "minimum", set.low]);
  if (set.high < Infinity) found.push([set.highOpen ? "exclusiveMaximum" : "maximum", set.high]);
  for (const divisor of set.multiplesOf) found.push(["multipleOf", divisor]);
  if (set.minLength > 0) found.push(["minLength", set.minLength]);
  if (set.maxLength < Infinity) found.push(["maxLength", set.maxLength]);
  for (const { source } of set.patterns) found.push(["pattern", source]);
  for (const { name } of set.formats) found.push(["format", name]);
  if (set.minItems > 0) found.push(["minItems", set.minItems]);
  if (set.maxItems < Infinity) found.push(["maxItems", set.maxItems]);
  if (set.unique) found.push(["uniqueItems", true]);
  return found;
}

/** Whether every value is in the set. */
export function saysNothing(set: ValueSet): boolean {
  if (set === ANYTHING) return true;
  const { types, values, items, members } = set;
  return (
    types === ANY_TYPE && values === null && items === null && members === null && keywords(set).length === 0
  );
}

/** A set in words, one for each place that it says something of: "/amount must be at most 100". */
export function sentences(set: ValueSet, at = ""): readonly string[] {
  const phrases = said(set).map(([keyword, value]) => phrase(keyword, value));
  const here = at !== "" && phrases.length > 0 ? [`${at} must ${phrases.join(" and ")}`] : [];
  const items = set.items === null ? [] : sentences(set.items, `${at}/*`);
  const members = Array.from(set.members ?? [], ([name, member]) =>
    memberSentences(member, at + pointerTo(name)),
  );
  const others = set.closed && set.members !== null ? [`${at || "the call"} takes no other arguments`] : [];
  return [...here, ...items, ...members.flat(), ...others];
}

function memberSentences(member: Member, at: string): readonly string[] {
  if (saysNothing(member.values)) return member.absent ? [] : [`${at} must be present`];
  const [first, ...more] = sentences(member.values, at);
  return first === undefined || !member.absent || member.values.types === 0
    ? [first ?? `${at} must be present`, ...more]
    : [`${first} where it is sent`, ...more];
}

function said(set: ValueSet): readonly (readonly [string, Json])[] {
  if (set.types === 0) return [["forbidden", true]];
  const [only, ...more] = set.values?.all ?? [];
  if (only !== undefined) return [more.length === 0 ? ["const", only] : ["enum", [only, ...more]]];
  const found = keywords(set);
  // The type of numbers and texts is seen from what is said of them.
  return found.length > 0 || set.members !== null ? found : [["type", typeNames(set.types)]];
}
