import { isJsonObject, type Json, type JsonObject } from "../lib/json.ts";
import { FORMATS } from "./format.ts";
import { compileUpstreamPattern, patternCost } from "./pattern.ts";
import { pointerTo } from "./value-set.ts";

/** Keywords whose value is one schema, a map of schemas, an array of schemas. */
const ONE = [
  "additionalItems additionalProperties contains else if items not propertyNames then",
  "unevaluatedItems unevaluatedProperties",
]
  .join(" ")
  .split(" ");
const MAP = "$defs definitions dependencies dependentSchemas patternProperties properties".split(" ");
const LIST = "allOf anyOf items oneOf prefixItems".split(" ");
const PLAIN = [
  "$anchor $dynamicAnchor $dynamicRef $id $ref const dependentRequired enum exclusiveMaximum exclusiveMinimum format",
  "maxContains maxItems maxLength maxProperties maximum minContains minItems minLength minProperties minimum",
  "multipleOf pattern required type uniqueItems",
]
  .join(" ")
  .split(" ");
/** Taking a keyword out of these could make the check refuse what the upstream takes. */
const NOT_MONOTONE = [
  "not",
  "if",
  "then",
  "else",
  "oneOf",
  "contains",
  "unevaluatedItems",
  "unevaluatedProperties",
];

/** All patterns of a schema together may cost this much to compile; see `patternCost`. */
const MAX_PATTERN_COST = 200_000;

export interface Enforceable {
  readonly schema: JsonObject;
  /** JSON Pointers of the keywords that are left to the upstream. */
  readonly unenforced: readonly string[];
}

/**
 * A copy of an upstream's schema with standard keywords only (so `$async`, `$data` and other extensions of the
 * validator mean nothing) and without those that cannot be enforced: patterns that RE2 cannot compile, formats that
 * are not known. What is taken out never makes the check stricter than the upstream's own.
 */
export function enforceable(source: JsonObject): Enforceable {
  const unenforced: string[] = [];
  const schema = copyObject(source, "", { unenforced, bad: badPatterns(source) });
  return { schema, unenforced };
}

interface Copying {
  readonly unenforced: string[];
  /** The patterns that are left out. */
  readonly bad: ReadonlySet<string>;
}

function copy(schema: Json, at: string, copying: Copying): Json {
  return isJsonObject(schema) ? copyObject(schema, at, copying) : schema;
}

function copyObject(schema: JsonObject, at: string, copying: Copying): JsonObject {
  const kept: [string, Json][] = [];
  for (const [key, value] of Object.entries(schema)) {
    const where = at + pointerTo(key);
    if (leftToUpstream(schema, key, value, copying.bad)) copying.unenforced.push(where);
    else kept.push(...copyKeyword(key, value, where, copying));
  }
  return Object.fromEntries(kept);
}

function copyKeyword(key: string, value: Json, at: string, copying: Copying): readonly [string, Json][] {
  if (ONE.includes(key) && !Array.isArray(value)) return [[key, copy(value, at, copying)]];
  if (LIST.includes(key) && Array.isArray(value)) {
    return [[key, value.map((schema, i) => copy(schema, at + pointerTo(i), copying))]];
  }
  if (MAP.includes(key) && isJsonObject(value)) return [[key, copyMap(key, value, at, copying)]];
  if (PLAIN.includes(key)) return [[key, value]];
  // Not a keyword, but a `$ref` may point into it.
  return typeof value === "object" && value !== null && key !== "$vocabulary" ? [[key, value]] : [];
}

function copyMap(key: string, map: JsonObject, at: string, copying: Copying): JsonObject {
  const kept: [string, Json][] = [];
  for (const [name, schema] of Object.entries(map)) {
    const where = at + pointerTo(name);
    if (key === "patternProperties" && copying.bad.has(name)) copying.unenforced.push(where);
    else kept.push([name, copy(schema, where, copying)]);
  }
  return Object.fromEntries(kept);
}

function leftToUpstream(schema: JsonObject, key: string, value: Json, bad: ReadonlySet<string>): boolean {
  if (key === "format") return typeof value === "string" && !FORMATS.has(value);
  if (bad.size === 0) return false;
  if (key === "pattern") return hasBad(key, value, bad);
  if (key === "additionalProperties") return hasBad("patternProperties", schema.patternProperties ?? {}, bad);
  if (key.startsWith("unevaluated")) return true;
  if (key === "then" || key === "else") return leftToUpstream(schema, "if", schema.if ?? true, bad);
  return (
    NOT_MONOTONE.includes(key) && some(value, (inner, of) => isReference(inner) || hasBad(inner, of, bad))
  );
}

function badPatterns(source: JsonObject): ReadonlySet<string> {
  const bad = new Set<string>();
  const good = new Set<string>();
  let left = MAX_PATTERN_COST;
  some(source, (key, value) => {
    for (const pattern of patternsOf(key, value)) {
      if (bad.has(pattern) || good.has(pattern)) continue;
      left -= patternCost(pattern);
      (left >= 0 && compileUpstreamPattern(pattern) !== null ? good : bad).add(pattern);
    }
    return false;
  });
  return bad;
}

function hasBad(key: string, value: Json, bad: ReadonlySet<string>): boolean {
  return patternsOf(key, value).some((source) => bad.has(source));
}

function isReference(key: string): boolean {
  return key === "$ref" || key === "$dynamicRef";
}

/** The patterns that a keyword holds itself. */
function patternsOf(key: string, value: Json): readonly string[] {
  if (key === "pattern") return typeof value === "string" ? [value] : [];
  return key === "patternProperties" && isJsonObject(value) ? Object.keys(value) : [];
}

/** Whether anything within, keyword or not, is so: too much caution leaves more to the upstream, never less. */
function some(value: Json, is: (key: string, value: Json) => boolean): boolean {
  if (typeof value !== "object" || value === null) return false;
  return Object.entries(value).some(([key, inner]: [string, Json]) => is(key, inner) || some(inner, is));
}
