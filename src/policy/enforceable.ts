import { isJsonObject, type Json, type JsonObject } from "../lib/json.ts";
import { FORMATS } from "./format.ts";
import { compileUpstreamPattern } from "./pattern.ts";
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
  const schema = copyObject(source, "", { unenforced, cautious: hasBadPattern(source) });
  return { schema, unenforced };
}

interface Copying {
  readonly unenforced: string[];
  /** Some pattern of the schema is left out. */
  readonly cautious: boolean;
}

function copy(schema: Json, at: string, copying: Copying): Json {
  return isJsonObject(schema) ? copyObject(schema, at, copying) : schema;
}

function copyObject(schema: JsonObject, at: string, copying: Copying): JsonObject {
  const kept: [string, Json][] = [];
  for (const [key, value] of Object.entries(schema)) {
    const where = at + pointerTo(key);
    if (leftToUpstream(schema, key, value, copying.cautious)) copying.unenforced.push(where);
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
    if (key === "patternProperties" && !compileUpstreamPattern(name)) copying.unenforced.push(where);
    else kept.push([name, copy(schema, where, copying)]);
  }
  return Object.fromEntries(kept);
}

function leftToUpstream(schema: JsonObject, key: string, value: Json, cautious: boolean): boolean {
  if (key === "format") return typeof value === "string" && !FORMATS.has(value);
  if (!cautious) return false;
  if (key === "pattern") return isBadPattern(key, value);
  if (key === "additionalProperties")
    return isBadPattern("patternProperties", schema.patternProperties ?? {});
  if (key.startsWith("unevaluated")) return true;
  if (key === "then" || key === "else") return leftToUpstream(schema, "if", schema.if ?? true, cautious);
  return NOT_MONOTONE.includes(key) && (hasBadPattern(value) || hasReference(value));
}

function isBadPattern(key: string, value: Json): boolean {
  if (key === "pattern") return typeof value === "string" && compileUpstreamPattern(value) === null;
  if (key !== "patternProperties" || !isJsonObject(value)) return false;
  return Object.keys(value).some((source) => compileUpstreamPattern(source) === null);
}

function hasBadPattern(value: Json): boolean {
  return some(value, isBadPattern);
}

function hasReference(value: Json): boolean {
  return some(value, (key) => key === "$ref" || key === "$dynamicRef");
}

/** Whether anything within, keyword or not, is so: too much caution leaves more to the upstream, never less. */
function some(value: Json, is: (key: string, value: Json) => boolean): boolean {
  if (typeof value !== "object" || value === null) return false;
  return Object.entries(value).some(([key, inner]: [string, Json]) => is(key, inner) || some(inner, is));
}
