import { isJsonObject, type Json, type JsonObject } from "../lib/json.ts";
import { FORMATS } from "./format.ts";
import type { Patterns } from "./outline.ts";
import { compileUpstreamPattern, patternCost, type UpstreamPattern } from "./pattern.ts";
import { CHARACTERS_PER_STEP } from "./steps.ts";
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

/** Not keywords that are checked: they hold schemas for `$ref`. */
const DEFINITIONS = ["$defs", "definitions"];
/** Values for readers. Nothing refers into them. */
const SAMPLES = ["default", "examples"];

/** Our own keyword: what it costs to apply the schema that it stands in, less what depends on the value. */
export const STEPS_KEYWORD = "portcullis-steps";

/** All patterns of a schema together may cost this much to compile; see `patternCost`. */
const MAX_PATTERN_COST = 200_000;

export interface Enforceable {
  /** With the position in `values` for each `const` and `enum`: a `$ref` into a value would be a schema without steps. */
  readonly schema: JsonObject;
  readonly values: readonly Json[];
  readonly patterns: Patterns;
  /** JSON Pointers of the keywords that are left to the upstream. */
  readonly unenforced: readonly string[];
}

/**
 * A copy of an upstream's schema with standard keywords only (so `$async`, `$data` and other extensions of the
 * validator mean nothing) and without those that cannot be enforced: patterns that RE2 cannot compile, formats that
 * are not known. What is taken out never makes the check stricter than the upstream's own. Wherever a `$ref` may lead,
 * there is a copy with STEPS_KEYWORD.
 */
export function enforceable(source: JsonObject): Enforceable {
  const unenforced: string[] = [];
  const values: Json[] = [];
  const { patterns, bad } = compilePatterns(source);
  const schema = copyObject(source, "", { unenforced, values, bad });
  return { schema, values, patterns, unenforced };
}

interface Copying {
  readonly unenforced: string[];
  readonly values: Json[];
  /** The patterns that are left out. */
  readonly bad: ReadonlySet<string>;
}

function copy(value: Json, at: string, copying: Copying): Json {
  if (isJsonObject(value)) return copyObject(value, at, copying);
  return Array.isArray(value) ? value.map((inner, i) => copy(inner, at + pointerTo(i), copying)) : value;
}

function copyObject(schema: JsonObject, at: string, copying: Copying): JsonObject {
  const kept: [string, Json][] = [];
  for (const [key, value] of Object.entries(schema)) {
    const where = at + pointerTo(key);
    if (leftToUpstream(schema, key, value, copying.bad)) copying.unenforced.push(where);
    else kept.push(...copyKeyword(key, value, where, copying));
  }
  const steps = kept.reduce((sum, [key]) => sum + stepsOf(key, schema[key] as Json), 0);
  if (steps > 0) kept.push([STEPS_KEYWORD, steps]);
  return Object.fromEntries(kept);
}

/** What a keyword costs by itself: a step for each schema or name in it. The schemas in it count for themselves. */
function stepsOf(key: string, value: Json): number {
  if (DEFINITIONS.includes(key)) return 0;
  if (LIST.includes(key) && Array.isArray(value)) return 1 + value.length;
  if (MAP.includes(key) && isJsonObject(value)) return 1 + Object.keys(value).length;
  if (ONE.includes(key)) return 1;
  return PLAIN.includes(key) ? 1 + Math.floor(JSON.stringify(value).length / CHARACTERS_PER_STEP) : 0;
}

function copyKeyword(key: string, value: Json, at: string, copying: Copying): readonly [string, Json][] {
  if (MAP.includes(key) && isJsonObject(value)) return [[key, copyMap(key, value, at, copying)]];
  if (key === "const" || key === "enum") return [[key, copying.values.push(value) - 1]];
  if (PLAIN.includes(key)) return isPlain(key, value) ? [[key, value]] : [];
  // What is not a keyword may still hold what a `$ref` points to.
  const holds =
    typeof value === "object" && value !== null && key !== "$vocabulary" && !SAMPLES.includes(key);
  return holds || ONE.includes(key) ? [[key, copy(value, at, copying)]] : [];
}

/** Without a schema in it. Only where no meta-schema looked can there be one. */
function isPlain(key: string, value: Json): boolean {
  const isFlat = (part: Json) => ![part].flat().some((inner) => typeof inner === "object" && inner !== null);
  return key === "dependentRequired" && isJsonObject(value)
    ? Object.values(value).every(isFlat)
    : isFlat(value);
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

function compilePatterns(source: JsonObject): {
  readonly patterns: Patterns;
  readonly bad: ReadonlySet<string>;
} {
  const patterns = new Map<string, UpstreamPattern>();
  const bad = new Set<string>();
  let left = MAX_PATTERN_COST;
  some(source, (key, value) => {
    for (const pattern of patternsOf(key, value)) {
      if (bad.has(pattern) || patterns.has(pattern)) continue;
      left -= patternCost(pattern);
      const compiled = left < 0 ? null : compileUpstreamPattern(pattern);
      if (compiled === null) bad.add(pattern);
      else patterns.set(pattern, compiled);
    }
    return false;
  });
  return { patterns, bad };
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
