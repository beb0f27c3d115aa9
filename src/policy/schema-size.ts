import { isJsonObject, type Json, type JsonObject } from "../lib/json.ts";

/** An upstream's schema costs at most this much to compile: half a second of a busy machine. */
const MAX_VALUES = 10_000;
const MAX_DEPTH = 64;
/** What is generated for alternatives grows with the square of their number. */
const MAX_IN_ONE_PLACE = 1000;
/** Each name in `properties` may be asked of each pattern, for each listing. */
const MAX_NAMES_BY_PATTERNS = 20_000;
const MAX_REFERENCE = 2000;
const REFERENCES = ["$anchor", "$dynamicAnchor", "$dynamicRef", "$id", "$ref"];

interface Size {
  values: number;
  names: number;
  patterns: number;
}

/** Why a schema is none that can be compiled here, or null. */
export function schemaFault(schema: JsonObject): string | null {
  if (schema.type !== undefined && schema.type !== "object") return 'the schema\'s type is not "object"';
  return partFault(schema, 0, { values: 0, names: 0, patterns: 0 });
}

function partFault(value: Json, depth: number, size: Size): string | null {
  size.values++;
  if (size.values > MAX_VALUES || depth > MAX_DEPTH)
    return `the schema has over ${MAX_VALUES} values or ${MAX_DEPTH} levels`;
  if (typeof value !== "object" || value === null) return null;
  const inner: readonly Json[] = Object.values(value);
  const fault = widthFault(inner) ?? (isJsonObject(value) ? keywordFault(value, size) : null);
  if (fault !== null) return fault;
  for (const part of inner) {
    const found = partFault(part, depth + 1, size);
    if (found !== null) return found;
  }
  return null;
}

function widthFault(inner: readonly Json[]): string | null {
  if (inner.length <= MAX_IN_ONE_PLACE) return null;
  return inner.filter(isJsonObject).length > MAX_IN_ONE_PLACE
    ? `the schema has over ${MAX_IN_ONE_PLACE} schemas in one place`
    : null;
}

function keywordFault(schema: JsonObject, size: Size): string | null {
  const { properties, patternProperties } = schema;
  if (isJsonObject(properties)) size.names += Object.keys(properties).length;
  if (isJsonObject(patternProperties)) size.patterns += Object.keys(patternProperties).length;
  if (size.names * size.patterns > MAX_NAMES_BY_PATTERNS)
    return `the schema has over ${MAX_NAMES_BY_PATTERNS} pairs of a property and a pattern`;
  const isLong = (key: string) => String(schema[key] ?? "").length > MAX_REFERENCE;
  return REFERENCES.some(isLong) ? `the schema has a reference over ${MAX_REFERENCE} characters` : null;
}
