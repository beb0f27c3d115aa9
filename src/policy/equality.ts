import { canonicalJson, isJsonObject, type Json } from "../lib/json.ts";
import { spend } from "./steps.ts";

/** Deep equality of JSON values: 1 equals 1.0, the order of members means nothing, inherited names are no members. */
export function equalJson(a: Json, b: Json): boolean {
  if (a === b) return true;
  if (Array.isArray(a)) {
    return Array.isArray(b) && a.length === b.length && a.every((item, i) => equalJson(item, b[i] as Json));
  }
  if (!isJsonObject(a) || !isJsonObject(b)) return false;
  const names = Object.keys(a);
  return (
    names.length === Object.keys(b).length &&
    names.every((name) => Object.hasOwn(b, name) && equalJson(a[name] as Json, b[name] as Json))
  );
}

/** Whether two items are equal, in one pass: comparing every pair would let a long array freeze the process. */
export function hasDuplicates(items: readonly Json[]): boolean {
  spend(items.length);
  const scalars = new Set<Json>();
  const composites = new Set<string>();
  for (const item of items) {
    if (isComposite(item) ? seen(composites, counted(item)) : seen(scalars, item)) return true;
  }
  return false;
}

function counted(item: Json): string {
  const text = canonicalJson(item);
  spend(text.length);
  return text;
}

function isComposite(value: Json): boolean {
  return typeof value === "object" && value !== null;
}

/** Distinct values, with a look-up that does not walk them all. */
export interface ValueList {
  readonly all: readonly Json[];
  has(value: Json): boolean;
}

export function valueList(values: readonly Json[]): ValueList {
  const scalars = new Set<Json>();
  const composites = new Set<string>();
  const all = values.filter(
    (value) => !(isComposite(value) ? seen(composites, canonicalJson(value)) : seen(scalars, value)),
  );
  const has = (value: Json) =>
    isComposite(value) ? composites.size > 0 && composites.has(counted(value)) : scalars.has(value);
  return { all, has };
}

function seen<T>(set: Set<T>, item: T): boolean {
  const size = set.size;
  return set.add(item).size === size;
}
