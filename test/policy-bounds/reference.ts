import { Ajv, type Options } from "ajv";
import { Ajv2020 } from "ajv/dist/2020.js";
import formats from "ajv-formats";
import { RE2JS } from "re2js";
import type { Bound, Bounds, Grant, Limit } from "../../src/domain.ts";
import { isJsonObject, type Json, type JsonObject } from "../../src/lib/json.ts";

/** What the contract says, as plainly as it can be written: no sets, no cache, no speed. Shares no code with the room. */

const options: Options = {
  strict: false,
  logger: false,
  ownProperties: true,
  addUsedSchema: false,
  multipleOfPrecision: 9,
  code: { regExp: Object.assign((source: string) => RE2JS.compile(source), { code: "re2" }) },
};
const validators = [new Ajv(options), new Ajv2020(options)] as const;
for (const ajv of validators) (formats as unknown as (ajv: Ajv) => void)(ajv);

export function plainAjv(schema: JsonObject): (value: Json) => boolean {
  const ajv = String(schema.$schema).includes("draft-07") ? validators[0] : validators[1];
  const run = ajv.compile(schema);
  ajv.removeSchema(schema);
  return (value) => run(value) === true;
}

export interface World {
  readonly schema: JsonObject;
  readonly grants: readonly Grant[];
  readonly limits: readonly Limit[];
}

/** Whether the pinned schema and the bounds of this grant under all limits pass the arguments. */
export function passes(
  world: World,
  pinned: (value: Json) => boolean,
  grant: Grant,
  args: JsonObject,
): boolean {
  const places = [world.schema];
  if (!bindsOnlyDeclared(grant.arguments, places, world.schema)) return false;
  const parts = [grant, ...world.limits];
  for (const limit of world.limits) {
    if (limit.mustExist && !bindsOnlyDeclared(limit.arguments, places, world.schema)) return false;
  }
  const injected = parts
    .flatMap((part) => Object.entries(part.arguments))
    .filter(([name, bound]) => Object.hasOwn(bound, "set") && declares(places, name, world.schema));
  if (injected.some(([name]) => Object.hasOwn(args, name))) return false;
  const forwarded = {
    ...args,
    ...Object.fromEntries(injected.map(([name, bound]) => [name, bound.set as Json])),
  };
  if (!pinned(forwarded)) return false;
  return parts.every((part) => {
    const others = !("others" in part) || part.others;
    if (others && Object.keys(part.arguments).length === 0) return true;
    return objectPasses(part.arguments, others, forwarded, places, world.schema);
  });
}

function objectPasses(
  bounds: Bounds,
  others: boolean,
  value: JsonObject,
  places: Json[],
  root: JsonObject,
): boolean {
  const bound = new Map(Object.entries(bounds).filter(([name]) => declares(places, name, root)));
  for (const [name, one] of bound) {
    const present = Object.hasOwn(value, name);
    if (one.forbidden) {
      if (present) return false;
    } else if (!present) {
      if (!one.optional) return false;
    } else if (Object.hasOwn(one, "set")) {
      if (!same(value[name] as Json, one.set as Json)) return false;
    } else if (!valuePasses(one, value[name] as Json, within(places, name, root), root)) return false;
  }
  return Object.keys(value).every((name) => bound.has(name) || (others && declares(places, name, root)));
}

function valuePasses(b: Bound, v: Json, places: Json[], root: JsonObject): boolean {
  const number = typeof v === "number" ? v : undefined;
  const text = typeof v === "string" ? v : undefined;
  const array = Array.isArray(v) ? (v as Json[]) : undefined;
  const when = (said: boolean, holds: () => boolean) => !said || holds();
  return (
    when(b.type !== undefined, () => [b.type].flat().some((type) => isOfType(v, String(type)))) &&
    when(b.enum !== undefined, () => (b.enum ?? []).some((other) => same(v, other))) &&
    when(Object.hasOwn(b, "const"), () => same(v, b.const as Json)) &&
    when(b.minimum !== undefined, () => number !== undefined && number >= Number(b.minimum)) &&
    when(b.maximum !== undefined, () => number !== undefined && number <= Number(b.maximum)) &&
    when(
      b.exclusiveMinimum !== undefined,
      () => number !== undefined && number > Number(b.exclusiveMinimum),
    ) &&
    when(
      b.exclusiveMaximum !== undefined,
      () => number !== undefined && number < Number(b.exclusiveMaximum),
    ) &&
    when(
      b.multipleOf !== undefined,
      () => number !== undefined && thousandths(number) % thousandths(Number(b.multipleOf)) === 0,
    ) &&
    when(b.minLength !== undefined, () => text !== undefined && [...text].length >= Number(b.minLength)) &&
    when(b.maxLength !== undefined, () => text !== undefined && [...text].length <= Number(b.maxLength)) &&
    when(
      b.pattern !== undefined,
      () => text !== undefined && RE2JS.compile(`^(?:${b.pattern})$`).test(text),
    ) &&
    when(b.format !== undefined, () => text !== undefined && formatPasses(String(b.format), text)) &&
    when(b.minItems !== undefined, () => array !== undefined && array.length >= Number(b.minItems)) &&
    when(b.maxItems !== undefined, () => array !== undefined && array.length <= Number(b.maxItems)) &&
    when(
      b.uniqueItems !== undefined,
      () =>
        array !== undefined &&
        (!b.uniqueItems || !array.some((x, i) => array.slice(0, i).some((y) => same(x, y)))),
    ) &&
    when(
      b.items !== undefined,
      () => array?.every((item) => valuePasses(b.items as Bound, item, inItems(places, root), root)) === true,
    ) &&
    when(
      b.properties !== undefined,
      () => isJsonObject(v) && objectPasses(b.properties as Bounds, b.others !== false, v, places, root),
    )
  );
}

const ofFormat = new Map<string, (value: Json) => boolean>();

function formatPasses(format: string, text: string): boolean {
  const passes = ofFormat.get(format) ?? plainAjv({ format });
  ofFormat.set(format, passes);
  return passes(text);
}

function isOfType(value: Json, type: string): boolean {
  if (type === "null") return value === null;
  if (type === "array") return Array.isArray(value);
  if (type === "object") return isJsonObject(value);
  if (type === "integer") return Number.isInteger(value);
  return typeof value === type;
}

/** Test numbers have at most three decimals. */
function thousandths(value: number): number {
  return Math.round(value * 1000);
}

function same(a: Json, b: Json): boolean {
  return sortedText(a) === sortedText(b);
}

function sortedText(value: Json): string {
  return JSON.stringify(value, (_, inner) =>
    isJsonObject(inner) ? Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)) : inner,
  );
}

// What the schema declares. The generator makes `$ref` to `#/$defs/…`, `allOf` and `anyOf`, and no cycles.

function spread(places: Json[], root: JsonObject): JsonObject[] {
  return places.filter(isJsonObject).flatMap((schema) => {
    const ref =
      typeof schema.$ref === "string" ? [(root.$defs as JsonObject)[schema.$ref.slice(8)] as Json] : [];
    return [
      schema,
      ...spread([...ref, ...((schema.allOf ?? []) as Json[]), ...((schema.anyOf ?? []) as Json[])], root),
    ];
  });
}

function declares(places: Json[], name: string, root: JsonObject): boolean {
  return spread(places, root).some(
    (schema) =>
      Object.hasOwn((schema.properties ?? {}) as JsonObject, name) ||
      ((schema.required ?? []) as string[]).includes(name) ||
      Object.keys((schema.patternProperties ?? {}) as JsonObject).some((pattern) =>
        RE2JS.compile(pattern).test(name),
      ) ||
      Object.keys((schema.additionalProperties || {}) as JsonObject).length > 0,
  );
}

function within(places: Json[], name: string, root: JsonObject): Json[] {
  return spread(places, root).flatMap((schema) => {
    const properties = (schema.properties ?? {}) as JsonObject;
    const byPattern = Object.entries((schema.patternProperties ?? {}) as JsonObject);
    const found = byPattern
      .filter(([pattern]) => RE2JS.compile(pattern).test(name))
      .map(([, inner]) => inner);
    if (Object.hasOwn(properties, name)) found.push(properties[name] as Json);
    return found.length > 0 ? found : [schema.additionalProperties ?? true];
  });
}

function inItems(places: Json[], root: JsonObject): Json[] {
  return spread(places, root).flatMap((schema) => schema.items ?? true);
}

function bindsOnlyDeclared(bounds: Bounds, places: Json[], root: JsonObject): boolean {
  return Object.entries(bounds).every(
    ([name, bound]) => declares(places, name, root) && innerDeclared(bound, within(places, name, root), root),
  );
}

function innerDeclared(bound: Bound, places: Json[], root: JsonObject): boolean {
  return (
    (bound.properties === undefined || bindsOnlyDeclared(bound.properties, places, root)) &&
    (bound.items === undefined || innerDeclared(bound.items, inItems(places, root), root))
  );
}
