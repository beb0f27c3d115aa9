import type { Bound, Bounds } from "../domain.ts";
import type { Json } from "../lib/json.ts";
import { type ValueList, valueList } from "./equality.ts";
import { FORMATS } from "./format.ts";
import type { Outline } from "./outline.ts";
import { compilePattern } from "./pattern.ts";
import { valueSet } from "./value-algebra.ts";
import {
  ANY_TYPE,
  FORBIDDEN,
  type Member,
  NUMBER,
  pointerTo,
  TYPE,
  typeMask,
  type ValueSet,
} from "./value-set.ts";

/** A bound implies its type: `maximum` refuses "9999". */
const IMPLIED: Readonly<Partial<Record<keyof Bound, number>>> = {
  minimum: NUMBER,
  maximum: NUMBER,
  exclusiveMinimum: NUMBER,
  exclusiveMaximum: NUMBER,
  multipleOf: NUMBER,
  minLength: TYPE.string,
  maxLength: TYPE.string,
  pattern: TYPE.string,
  items: TYPE.array,
  minItems: TYPE.array,
  maxItems: TYPE.array,
  uniqueItems: TYPE.array,
  properties: TYPE.object,
};

/**
 * The objects that a map of bounds admits at one place of the schema. Names that the schema does not declare there go
 * to `undeclared` (as JSON Pointers) and bind nothing.
 */
export function boundsSet(
  bounds: Bounds,
  others: boolean,
  outline: Outline,
  undeclared: string[],
  at = "",
): ValueSet {
  const members = new Map<string, Member>();
  for (const [name, bound] of Object.entries(bounds)) {
    const where = at + pointerTo(name);
    if (outline.has(name)) members.set(name, boundMember(bound, outline.member(name), undeclared, where));
    else undeclared.push(where);
  }
  return valueSet({ types: TYPE.object, members, closed: !others, declares: outline });
}

/** The arguments that `set` injects, of those that the schema declares. */
export function injection(
  bounds: Bounds,
  outline: Outline,
): readonly (readonly [name: string, value: Json])[] {
  return Object.entries(bounds).flatMap(([name, { set }]) =>
    set !== undefined && outline.has(name) ? [[name, set] as const] : [],
  );
}

function boundMember(bound: Bound, outline: Outline, undeclared: string[], at: string): Member {
  if (bound.forbidden === true) return FORBIDDEN;
  // What is forwarded has the injected value, and every other bound must admit it.
  if (bound.set !== undefined) return { absent: false, values: valueSet({ values: valueList([bound.set]) }) };
  return { absent: bound.optional === true, values: boundSet(bound, outline, undeclared, at) };
}

function boundSet(bound: Bound, outline: Outline, undeclared: string[], at: string): ValueSet {
  const { minimum = -Infinity, exclusiveMinimum = -Infinity } = bound;
  const { maximum = Infinity, exclusiveMaximum = Infinity } = bound;
  const pattern = bound.pattern === undefined ? null : compilePattern(bound.pattern);
  const format = bound.format === undefined ? null : (FORMATS.get(bound.format) ?? null);
  const members =
    bound.properties && boundsSet(bound.properties, bound.others !== false, outline, undeclared, at);
  return valueSet({
    types: members?.types === 0 ? 0 : impliedTypes(bound),
    values: boundValues(bound),
    low: Math.max(minimum, exclusiveMinimum),
    lowOpen: exclusiveMinimum >= minimum && exclusiveMinimum > -Infinity,
    high: Math.min(maximum, exclusiveMaximum),
    highOpen: exclusiveMaximum <= maximum && exclusiveMaximum < Infinity,
    multiplesOf: bound.multipleOf === undefined ? [] : [bound.multipleOf],
    minLength: bound.minLength ?? 0,
    maxLength: bound.maxLength ?? Infinity,
    patterns: pattern === null ? [] : [pattern],
    formats: format === null ? [] : [format],
    minItems: bound.minItems ?? 0,
    maxItems: bound.maxItems ?? Infinity,
    unique: bound.uniqueItems === true,
    items: bound.items === undefined ? null : boundSet(bound.items, outline.items(), undeclared, `${at}/*`),
    members: members?.members ?? null,
    closed: members?.closed ?? false,
    declares: members?.declares ?? null,
  });
}

function impliedTypes(bound: Bound): number {
  let types =
    bound.type === undefined
      ? ANY_TYPE
      : [bound.type].flat().reduce((mask, name) => mask | typeMask(name), 0);
  for (const key of Object.keys(bound)) types &= IMPLIED[key as keyof Bound] ?? ANY_TYPE;
  if (bound.format !== undefined)
    types &= FORMATS.get(bound.format)?.type === "number" ? NUMBER : TYPE.string;
  return types;
}

function boundValues(bound: Bound): ValueList | null {
  const allowed = bound.enum === undefined ? null : valueList(bound.enum);
  if (bound.const === undefined) return allowed;
  return valueList(allowed === null || allowed.has(bound.const) ? [bound.const] : []);
}
