import { isJsonObject, type Json, type JsonObject } from "../lib/json.ts";
import { valueList } from "./equality.ts";
import { memberSchemas, type Patterns, requiredOf, resolve } from "./outline.ts";
import { spend } from "./steps.ts";
import { intersect, valueSet } from "./value-algebra.ts";
import { ANY_TYPE, ANYTHING, memberOf, TYPE, typeMask, type ValueSet } from "./value-set.ts";

/** Keywords that say nothing of a value. */
const ANNOTATIONS = [
  "$comment",
  "default",
  "deprecated",
  "description",
  "examples",
  "readOnly",
  "title",
  "writeOnly",
];
const IDENTITIES = ["$anchor", "$dynamicAnchor", "$id"];

/**
 * Whether some value may be both in the set and valid by the schema, as far as plain keywords tell: false is certain.
 * A grant that no arguments can meet opens nothing.
 */
export function reachable(
  root: JsonObject,
  engines: Patterns,
  schema: Json,
  set: ValueSet,
  depth = 0,
): boolean {
  spend(STEPS_PER_SCHEMA);
  const plain = inlined(root, schema);
  if (plain === false || set.types === 0) return false;
  if (!isJsonObject(plain)) return true;
  if (plain.type !== undefined && (schemaTypes(plain.type) & set.types) === 0) return false;
  if (!combinable(plain, (inner) => depth >= MAX_DEPTH || reachable(root, engines, inner, set, depth + 1)))
    return false;
  if (!simple(plain, set)) return intersect(set, schemaSet(plain)).types !== 0;
  for (const [name, member] of set.members ?? []) {
    if (member.absent) continue;
    if (!memberSchemas(plain, name, engines).every((inner) => reachable(root, engines, inner, member.values)))
      return false;
  }
  return requiredOf(plain).every((name) => memberOf(set, name).values.types !== 0);
}

/** Schemas that apply at one place are followed so far: they may refer to themselves. */
const MAX_DEPTH = 8;

/** Looking at one schema costs about this. */
const STEPS_PER_SCHEMA = 20;

/** What stands beside a `$ref` does not hold in draft-07. */
function combinable(
  { $ref, allOf, anyOf, oneOf }: JsonObject,
  isReachable: (schema: Json) => boolean,
): boolean {
  if ($ref !== undefined) return true;
  if (Array.isArray(allOf) && !allOf.every(isReachable)) return false;
  // Most often an optional field: `anyOf: [{type: string}, {type: null}]`.
  return [anyOf, oneOf].every((some) => !Array.isArray(some) || some.some(isReachable));
}

/** Only objects are in the set, and the schema has no list of values: looking at the members tells all there is. */
function simple(schema: JsonObject, set: ValueSet): boolean {
  return (
    set.types === TYPE.object &&
    set.values === null &&
    schema.enum === undefined &&
    schema.const === undefined
  );
}

/** A schema with its local `$ref` put in place, where that changes nothing: only annotations beside it. */
export function inlined(root: JsonObject, schema: Json): Json {
  let at = schema;
  for (let hops = 0; isJsonObject(at) && at.$ref !== undefined && hops < 8; hops++) {
    const { $ref, ...beside } = at;
    const target = resolve(root, $ref);
    const movable = isJsonObject(target) && !IDENTITIES.some((key) => Object.hasOwn(target, key));
    if (!movable || !Object.keys(beside).every((key) => ANNOTATIONS.includes(key))) return at;
    at = { ...target, ...beside };
  }
  return at;
}

/** Splits a schema into what describes and what constrains. */
export function splitAnnotations(
  schema: JsonObject,
): readonly [annotations: JsonObject, constraints: JsonObject] {
  const entries = Object.entries(schema);
  const is = ([key]: [string, Json]) => ANNOTATIONS.includes(key);
  return [Object.fromEntries(entries.filter(is)), Object.fromEntries(entries.filter((entry) => !is(entry)))];
}

/** The plain keywords of a schema as a set: all that it allows, and perhaps more. */
function schemaSet(schema: JsonObject): ValueSet {
  const values = schema.const === undefined ? schema.enum : [schema.const];
  return valueSet({
    types: schema.type === undefined ? ANY_TYPE : schemaTypes(schema.type),
    values: Array.isArray(values) ? valueList(values) : null,
    low: number(schema.minimum, ANYTHING.low),
    high: number(schema.maximum, ANYTHING.high),
    minLength: number(schema.minLength, ANYTHING.minLength),
    maxLength: number(schema.maxLength, ANYTHING.maxLength),
    minItems: number(schema.minItems, ANYTHING.minItems),
    maxItems: number(schema.maxItems, ANYTHING.maxItems),
  });
}

/** The types that a schema's `type` names. */
export function schemaTypes(type: Json): number {
  if (!Array.isArray(type)) return typeMask(type);
  let types = 0;
  for (const name of type) types |= typeMask(name);
  return types;
}

function number(value: Json | undefined, absent: number): number {
  return typeof value === "number" ? value : absent;
}
