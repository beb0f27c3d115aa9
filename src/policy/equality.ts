import { canonicalJson, isJsonObject, type Json } from "../lib/json.ts";

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
  const scalars = new Set<Json>();
  const composites = new Set<string>();
  for (const item of items) {
    const composite = typeof item === "object" && item !== null;
    if (composite ? seen(composites, canonicalJson(item)) : seen(scalars, item)) return true;
  }
  return false;
}

/** Distinct values, with a look-up that does not walk them all. */
export interface ValueList {
  readonly all: readonly Json[];
  has(value: Json): boolean;
}

export function valueList(values: readonly Json[]): ValueList {
  const scalars = new Set<Json>();
  const composites: Json[] = [];
  const has = (value: Json) => scalars.has(value) || composites.some((other) => equalJson(other, value));
  const all = values.filter((value) => {
    if (has(value)) return false;
    if (typeof value === "object" && value !== null) composites.push(value);
    else scalars.add(value);
    return true;
  });
  return { all, has };
}

function seen<T>(set: Set<T>, item: T): boolean {
  const size = set.size;
  return set.add(item).size === size;
}
