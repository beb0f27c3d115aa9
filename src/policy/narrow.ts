import { isJsonObject, type Json, type JsonObject } from "../lib/json.ts";
import { equalJson } from "./equality.ts";
import { memberSchemas, type Patterns, requiredOf } from "./outline.ts";
import { toEcmaPattern } from "./pattern.ts";
import { inlined, schemaTypes, splitAnnotations } from "./reachable.ts";
import type { CompiledSchema } from "./schema.ts";
import { join } from "./value-algebra.ts";
import { ANY_TYPE, memberOf, pointerTo, TYPE, test, typeNames, type ValueSet } from "./value-set.ts";
import { keywords, phrase, saysNothing, sentences } from "./words.ts";

/** What a caller is shown of a target. */
export interface Listing {
  /** One plain object. It never forbids what is allowed; for a single grant it forbids all that is refused. */
  readonly inputSchema: JsonObject;
  /** What the schema cannot say, for the description: alternatives, patterns beyond ECMAScript; or "". */
  readonly note: string;
  /** Everything in words, for what has no schema to show: prompts and templates; or "". */
  words(): string;
}

/** Alternatives told in words are cut at this many. */
const MAX_ALTERNATIVES = 10;

/** Top-level keywords that mean the same with an injected argument out of sight. The others are enforced unseen. */
const WITHOUT_INJECTED = (
  "$anchor $comment $defs $dynamicAnchor $id $schema additionalProperties definitions deprecated description " +
  "maxProperties patternProperties properties propertyNames required title type"
).split(" ");

type Mutable = { [key: string]: Json };

interface Context {
  readonly root: JsonObject;
  readonly patterns: Patterns;
  /** Sentences for the note. */
  readonly unsaid: Set<string>;
}

/**
 * The pinned schema under what each usable grant lets the caller send: for every argument the join of the grants'
 * sets. `injected` names the arguments that some grant sets, which the caller does not see.
 */
export function narrow(
  { source: root, patterns }: Pick<CompiledSchema, "source" | "patterns">,
  alternatives: readonly ValueSet[],
  injected: ReadonlySet<string>,
): Listing {
  const context: Context = { root, patterns, unsaid: new Set() };
  const [first, ...more] = alternatives;
  const set = first && more.reduce(join, first);
  if (set === undefined) return { inputSchema: { type: "object", not: {} }, note: "", words: () => "" };
  const inputSchema = set.members === null && injected.size === 0 ? root : narrowRoot(set, injected, context);
  const note = alternatives.length > 1 ? inWords(alternatives, set) : null;
  return {
    inputSchema,
    note: note ?? [...context.unsaid].map((text) => `${text}.`).join(" "),
    words: () => note ?? plainly(sentences(visible(set, set))),
  };
}

function plainly(told: readonly string[]): string {
  return told.length === 0 ? "" : `Policy: ${told.join(", ")}.`;
}

/** Without the arguments that no grant lets the caller send: they are not to be seen. */
function visible(alternative: ValueSet, set: ValueSet): ValueSet {
  const members = [...(alternative.members ?? [])].filter(([name]) => memberOf(set, name).values.types !== 0);
  return alternative.members === null ? alternative : { ...alternative, members: new Map(members) };
}

/** null: the alternatives are all the same. */
function inWords(alternatives: readonly ValueSet[], set: ValueSet): string | null {
  const told = new Set(
    alternatives.map((each) => sentences(visible(each, set)).join(", ") || "any arguments"),
  );
  if (told.size < 2) return null;
  const shown = [...told].slice(0, MAX_ALTERNATIVES).map((text, i) => `(${i + 1}) ${text}`);
  if (told.size > MAX_ALTERNATIVES) shown.push("…");
  return `Policy allows one of these: ${shown.join("; ")}.`;
}

function narrowRoot(set: ValueSet, injected: ReadonlySet<string>, context: Context): JsonObject {
  const entries = Object.entries(context.root).filter(
    ([key]) => injected.size === 0 || WITHOUT_INJECTED.includes(key),
  );
  const { $ref, ...schema } = Object.fromEntries(entries);
  const narrowed = narrowMembers({ type: "object", ...schema }, set, "", context);
  // In draft-07 nothing beside `$ref` holds.
  if ($ref !== undefined) narrowed.allOf = [...(Array.isArray(schema.allOf) ? schema.allOf : []), { $ref }];
  hide(narrowed, set, injected);
  return withinBounds(narrowed, set);
}

/**
 * The caller neither sees nor sends what every grant injects, and need not send what some grant injects. Where the schema
 * takes any name, or any of a pattern, only naming it tells that it must not be sent.
 */
function hide(schema: Mutable, set: ValueSet, injected: ReadonlySet<string>): void {
  const named = schema.additionalProperties !== false || schema.patternProperties !== undefined;
  const unseen = (name: string) => !named && injected.has(name) && memberOf(set, name).values.types === 0;
  const shown = Object.entries(schema.properties ?? {}).filter(([name]) => !unseen(name));
  schema.properties = Object.fromEntries<Json>(shown);
  if (schema.required !== undefined)
    schema.required = requiredOf(schema).filter((name) => !injected.has(name));
}

/** A schema that allows what both allow; false where that is nothing. */
function narrowValue(schema: Json, set: ValueSet, at: string, context: Context): Json {
  if (set.types === 0 || schema === false) return false;
  if (saysNothing(set)) return schema;
  const plain = inlined(context.root, schema === true ? {} : schema);
  if (!isJsonObject(plain)) return plain;
  if (plain.$ref === undefined) return merged(withinBounds(plain, set), set, at, context);
  const [annotations, constraints] = splitAnnotations(plain);
  const bound = merged({}, set, at, context);
  return bound === false ? false : { ...withinBounds(annotations, set), allOf: [constraints, bound] };
}

/** Without a default that the bounds refuse. */
function withinBounds(schema: JsonObject, set: ValueSet): JsonObject {
  if (schema.default === undefined || test(set, schema.default) === null) return schema;
  const { default: _, ...rest } = schema;
  return rest;
}

function merged(schema: JsonObject, set: ValueSet, at: string, context: Context): Mutable | false {
  const values = Array.isArray(schema.enum)
    ? schema.enum.filter((value) => test(set, value) === null)
    : (set.values?.all ?? null);
  if (values !== null) return values.length > 0 && { ...schema, enum: values };
  const before = schema.type === undefined ? ANY_TYPE : schemaTypes(schema.type);
  const types = before & set.types;
  if (types === 0) return false;
  const out: Mutable = types === before ? { ...schema } : { ...schema, type: typeNames(types) };
  const beside: JsonObject[] = [];
  for (const [keyword, value] of keywords(set)) {
    const said = keyword === "pattern" ? toEcmaPattern(String(value)) : value;
    if (said === null) context.unsaid.add(`${at} must ${phrase(keyword, value)}`);
    else if (!tighten(out, keyword, said)) beside.push({ [keyword]: said });
  }
  if (set.items !== null && (types & TYPE.array) !== 0) narrowItems(out, set.items, at, beside, context);
  if (beside.length > 0) out.allOf = [...(Array.isArray(out.allOf) ? out.allOf : []), ...beside];
  return set.members === null ? out : narrowMembers(out, set, at, context);
}

/** Puts a keyword beside those of the schema; false when the schema has another that must stay. */
function tighten(schema: Mutable, keyword: string, value: Json): boolean {
  const before = schema[keyword];
  if (typeof before === "number" && typeof value === "number" && keyword !== "multipleOf") {
    schema[keyword] = /^(?:exclusiveM|m)in/.test(keyword) ? Math.max(before, value) : Math.min(before, value);
    return true;
  }
  if (before !== undefined && before !== false && !equalJson(before, value)) return false;
  schema[keyword] = value;
  return true;
}

function narrowItems(
  schema: Mutable,
  set: ValueSet,
  at: string,
  beside: JsonObject[],
  context: Context,
): void {
  const plain = schema.prefixItems === undefined && !Array.isArray(schema.items);
  const items = narrowValue(plain ? (schema.items ?? {}) : {}, set, `${at}/*`, context);
  if (plain) schema.items = items;
  else beside.push({ items });
}

/** `properties`, `required` and what else may be sent. Where bounds apply, only declared names may. */
function narrowMembers(schema: JsonObject, set: ValueSet, at: string, context: Context): Mutable {
  const rest = set.closed || set.declares?.open === false ? false : schema.additionalProperties;
  // Where the rest is left to the schema, a name put here would be out of its `unevaluatedProperties`.
  const declared = set.closed || rest !== false ? [] : (set.declares?.names ?? []);
  const own = isJsonObject(schema.properties) ? Object.keys(schema.properties) : [];
  const names = new Set([...own, ...(set.members?.keys() ?? []), ...declared]);
  const patterns = set.closed ? {} : patternSchemas(schema, set);
  const properties: [string, Json][] = [];
  const required = new Set(requiredOf(schema));
  for (const name of names) {
    const member = memberOf(set, name);
    const narrowed = narrowValue(
      conjunction(memberSchemas(schema, name, context.patterns)),
      member.values,
      at + pointerTo(name),
      context,
    );
    if (narrowed !== false) properties.push([name, narrowed]);
    else if (rest !== false || Object.keys(patterns).length > 0) properties.push([name, { not: {} }]);
    if (!member.absent) required.add(name);
  }
  const { patternProperties: _, required: __, additionalProperties: ___, ...out } = schema;
  return {
    ...out,
    properties: Object.fromEntries(properties),
    ...(Object.keys(patterns).length > 0 && { patternProperties: patterns }),
    ...(required.size > 0 && { required: [...required] }),
    ...(rest !== undefined && { additionalProperties: rest }),
  };
}

/** The schema's own, and names that are declared by pattern elsewhere (in an `allOf`), which hold there. */
function patternSchemas(schema: JsonObject, set: ValueSet): JsonObject {
  const own = isJsonObject(schema.patternProperties) ? schema.patternProperties : {};
  if (schema.additionalProperties === false) return own;
  const elsewhere = (set.declares?.patterns ?? []).filter((pattern) => !Object.hasOwn(own, pattern));
  return {
    ...own,
    ...Object.fromEntries(elsewhere.map((pattern) => [pattern, schema.additionalProperties ?? {}])),
  };
}

function conjunction(schemas: readonly Json[]): Json {
  const [first, ...more] = schemas;
  return more.length > 0 ? { allOf: schemas } : (first ?? {});
}
