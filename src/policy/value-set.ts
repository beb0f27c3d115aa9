import type { Json, JsonObject } from "../lib/json.ts";
import { isMultipleOf } from "./decimal.ts";
import { hasDuplicates, type ValueList } from "./equality.ts";
import type { Format } from "./format.ts";
import type { Outline } from "./outline.ts";
import type { Pattern } from "./pattern.ts";
import { spend } from "./steps.ts";

/** A set of JSON types, as bits. A number is an integer or a fraction. */
export const TYPE = {
  null: 1,
  boolean: 2,
  integer: 4,
  fraction: 8,
  string: 16,
  array: 32,
  object: 64,
} as const;
export const NUMBER = TYPE.integer | TYPE.fraction;
export const ANY_TYPE = 127;

/** What an argument may be, and whether it may be absent. Forbidden: absent, and no value. */
export interface Member {
  readonly absent: boolean;
  readonly values: ValueSet;
}

/**
 * A set of JSON values: what bounds admit. Each part speaks of its own type only and `types` says which types are in,
 * so that sets can be intersected and joined part by part.
 */
export interface ValueSet {
  readonly types: number;
  /** Not null: these values and no others; the other parts hold for each of them. */
  readonly values: ValueList | null;
  readonly low: number;
  readonly lowOpen: boolean;
  readonly high: number;
  readonly highOpen: boolean;
  readonly multiplesOf: readonly number[];
  /** In Unicode code points. */
  readonly minLength: number;
  readonly maxLength: number;
  readonly patterns: readonly Pattern[];
  readonly formats: readonly Format[];
  readonly minItems: number;
  readonly maxItems: number;
  readonly unique: boolean;
  readonly items: ValueSet | null;
  /** null: nothing is said of members. Otherwise names outside it must be in `declares`, and are refused if `closed`. */
  readonly members: ReadonlyMap<string, Member> | null;
  readonly closed: boolean;
  readonly declares: Outline | null;
}

export const ANYTHING: ValueSet = {
  types: ANY_TYPE,
  values: null,
  low: -Infinity,
  lowOpen: false,
  high: Infinity,
  highOpen: false,
  multiplesOf: [],
  minLength: 0,
  maxLength: Infinity,
  patterns: [],
  formats: [],
  minItems: 0,
  maxItems: Infinity,
  unique: false,
  items: null,
  members: null,
  closed: false,
  declares: null,
};
export const NOTHING: ValueSet = { ...ANYTHING, types: 0 };
export const FORBIDDEN: Member = { absent: true, values: NOTHING };
const UNBOUNDED: Member = { absent: true, values: ANYTHING };

export function typeOf(value: unknown): number {
  switch (typeof value) {
    case "string":
      return TYPE.string;
    case "number":
      return Number.isInteger(value) ? TYPE.integer : Number.isFinite(value) ? TYPE.fraction : 0;
    case "boolean":
      return TYPE.boolean;
    case "object":
      return value === null ? TYPE.null : Array.isArray(value) ? TYPE.array : TYPE.object;
    default:
      return 0;
  }
}

export function memberOf(set: ValueSet, name: string): Member {
  return set.members?.get(name) ?? (set.closed ? FORBIDDEN : UNBOUNDED);
}

/** Why a value is outside: where (JSON Pointer), and which keyword with which value. */
export interface Failure {
  readonly pointer: string;
  readonly keyword: string;
  readonly value: Json;
}

/** null when the value is in the set; otherwise the first thing found that puts it outside. */
export function test(set: ValueSet, value: Json): Failure | null {
  if (set.types === 0) return failure("forbidden", true);
  if ((set.types & typeOf(value)) === 0) return failure("type", typeNames(set.types));
  if (set.values !== null) return testValues(set.values, value);
  if (typeof value === "number") return testNumber(set, value);
  if (typeof value === "string") return testString(set, value);
  if (typeof value !== "object" || value === null) return null;
  return isArray(value) ? testArray(set, value) : testObject(set, value);
}

function testValues(values: ValueList, value: Json): Failure | null {
  if (values.has(value)) return null;
  const [only, ...more] = values.all;
  return only !== undefined && more.length === 0 ? failure("const", only) : failure("enum", values.all);
}

function testNumber(set: ValueSet, value: number): Failure | null {
  if (value < set.low) return failure(set.lowOpen ? "exclusiveMinimum" : "minimum", set.low);
  if (set.lowOpen && value === set.low) return failure("exclusiveMinimum", set.low);
  if (value > set.high) return failure(set.highOpen ? "exclusiveMaximum" : "maximum", set.high);
  if (set.highOpen && value === set.high) return failure("exclusiveMaximum", set.high);
  for (const divisor of set.multiplesOf)
    if (!isMultipleOf(value, divisor)) return failure("multipleOf", divisor);
  return testFormats(set, value);
}

function testString(set: ValueSet, value: string): Failure | null {
  if (set.minLength > 0 || set.maxLength < value.length) {
    const length = codePoints(value);
    if (length < set.minLength) return failure("minLength", set.minLength);
    if (length > set.maxLength) return failure("maxLength", set.maxLength);
  }
  for (const pattern of set.patterns) if (!pattern.matches(value)) return failure("pattern", pattern.source);
  return testFormats(set, value);
}

function testFormats(set: ValueSet, value: string | number): Failure | null {
  for (const format of set.formats) {
    if (format.type === typeof value && !format.check(value)) return failure("format", format.name);
  }
  return null;
}

function testArray(set: ValueSet, value: readonly Json[]): Failure | null {
  if (value.length < set.minItems) return failure("minItems", set.minItems);
  if (value.length > set.maxItems) return failure("maxItems", set.maxItems);
  if (set.items !== null) {
    spend(value.length);
    for (const [i, item] of value.entries()) {
      const found = test(set.items, item);
      if (found !== null) return within(i, found);
    }
  }
  return set.unique && hasDuplicates(value) ? failure("uniqueItems", true) : null;
}

function testObject(set: ValueSet, value: JsonObject): Failure | null {
  for (const found of objectFailures(set, value)) return found;
  return null;
}

/** What is wrong with an object, at most one failure for each of its members. */
export function* objectFailures(set: ValueSet, value: JsonObject): Generator<Failure> {
  if (set.members === null) return;
  for (const [name, member] of set.members) {
    const found = testMember(member, name, value);
    if (found !== null) yield within(name, found);
  }
  const names = Object.keys(value);
  spend(set.members.size + names.length);
  for (const name of names) {
    if (set.members.has(name)) continue;
    if (set.closed || set.declares?.has(name) === false) yield within(name, failure("others", false));
  }
}

function testMember(member: Member, name: string, value: JsonObject): Failure | null {
  if (Object.hasOwn(value, name)) return test(member.values, value[name] as Json);
  return member.absent ? null : failure("required", true);
}

function failure(keyword: string, value: Json): Failure {
  return { pointer: "", keyword, value };
}

function within(segment: string | number, { pointer, keyword, value }: Failure): Failure {
  return { pointer: pointerTo(segment) + pointer, keyword, value };
}

/** One segment of a JSON Pointer (RFC 6901). */
export function pointerTo(segment: string | number): string {
  const text = String(segment);
  return /[~/]/.test(text) ? `/${text.replaceAll("~", "~0").replaceAll("/", "~1")}` : `/${text}`;
}

/** The bits of one of JSON Schema's type names; 0 for anything else. */
export function typeMask(name: Json): number {
  if (name === "number") return NUMBER;
  return typeof name === "string" && name !== "fraction" && Object.hasOwn(TYPE, name)
    ? TYPE[name as keyof typeof TYPE]
    : 0;
}

/** JSON Schema's `type` for a set of types. */
export function typeNames(types: number): string | string[] {
  const names = Object.entries(TYPE)
    .filter(([name, bit]) => (types & bit) !== 0 && name !== "integer" && name !== "fraction")
    .map(([name]) => name);
  if ((types & NUMBER) !== 0) names.push((types & NUMBER) === TYPE.integer ? "integer" : "number");
  const [only, ...more] = names;
  return only !== undefined && more.length === 0 ? only : names;
}

function isArray(value: Json): value is readonly Json[] {
  return Array.isArray(value);
}

function codePoints(text: string): number {
  let count = 0;
  for (const _ of text) count++;
  return count;
}
