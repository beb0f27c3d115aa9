import type { Bound } from "../domain.ts";
import { isJsonObject, type Json } from "../lib/json.ts";
import { FORMATS } from "./format.ts";
import { compilePattern } from "./pattern.ts";
import { typeMask } from "./value-set.ts";

/** A bound may be nested this deep: policy may build bounds from data. */
const MAX_DEPTH = 16;

/** What is wrong with a value at `at`, or null. */
type Check = (value: Json, at: string, depth: number) => string | null;

/** The closed vocabulary. Any other key is a fault: a misspelt bound must not be a bound that does nothing. */
const KEYWORDS: Readonly<Record<keyof Bound, Check>> = {
  type: (value, at) =>
    (Array.isArray(value) && value.length > 0 ? value : [value]).every((name) => typeMask(name) > 0)
      ? null
      : `${at} must name JSON types`,
  enum: (value, at) => (Array.isArray(value) ? null : `${at} must be an array`),
  const: () => null,
  minimum: finite,
  maximum: finite,
  exclusiveMinimum: finite,
  exclusiveMaximum: finite,
  multipleOf: (value, at) =>
    Number.isFinite(value) && Number(value) > 0 ? null : `${at} must be a number over 0`,
  minLength: count,
  maxLength: count,
  pattern: (value, at) =>
    typeof value === "string" && compilePattern(value)
      ? null
      : `${at} must be an RE2 pattern, and not too large`,
  format: (value, at) =>
    typeof value === "string" && FORMATS.has(value) ? null : `${at} is not a format that is known here`,
  items: (value, at, depth) =>
    boundFault(value, at, depth) ?? nestedFault(value, at, ["set", "forbidden", "optional"]),
  minItems: count,
  maxItems: count,
  uniqueItems: flag,
  properties: (value, at, depth) => boundsFault(value, at, depth),
  others: flag,
  forbidden: (value, at) => (value === true ? null : `${at} must be true`),
  optional: flag,
  set: () => null,
};

/** What is wrong with a map of bounds by argument name; null: it is of type Bounds. */
export function boundsFault(value: Json, at: string, depth = 0): string | null {
  if (!isJsonObject(value)) return `${at} must be an object`;
  for (const name of Object.keys(value)) {
    const where = `${at}.${name}`;
    const bound = value[name] as Json;
    const fault = boundFault(bound, where, depth) ?? (depth > 0 ? nestedFault(bound, where, ["set"]) : null);
    if (fault !== null) return fault;
  }
  return null;
}

function boundFault(value: Json, at: string, depth: number): string | null {
  if (!isJsonObject(value)) return `${at} must be an object`;
  if (depth > MAX_DEPTH) return `${at} is nested too deeply`;
  const keys = Object.keys(value);
  for (const key of keys) {
    const check = Object.hasOwn(KEYWORDS, key) ? KEYWORDS[key as keyof Bound] : null;
    if (check === null) return `${at}.${key} is not a bound`;
    const fault = check(value[key] as Json, `${at}.${key}`, depth + 1);
    if (fault !== null) return fault;
  }
  for (const alone of ["set", "forbidden"]) {
    if (keys.length > 1 && keys.includes(alone)) return `${at}.${alone} must stand alone`;
  }
  return keys.includes("others") && !keys.includes("properties") ? `${at}.others needs properties` : null;
}

/** Keys that say something of an argument as a whole mean nothing further in. */
function nestedFault(bound: Json, at: string, keys: readonly string[]): string | null {
  const key = keys.find((name) => isJsonObject(bound) && Object.hasOwn(bound, name));
  return key === undefined ? null : `${at}.${key} has no meaning here`;
}

function finite(value: Json, at: string): string | null {
  return Number.isFinite(value) ? null : `${at} must be a number`;
}

function count(value: Json, at: string): string | null {
  return Number.isSafeInteger(value) && Number(value) >= 0 ? null : `${at} must be a whole number, 0 or more`;
}

export function flag(value: Json, at: string): string | null {
  return typeof value === "boolean" ? null : `${at} must be true or false`;
}
