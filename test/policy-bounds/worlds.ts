import fc from "fast-check";
import type { Bound, Bounds, Grant, Limit } from "../../src/domain.ts";
import type { Json, JsonObject } from "../../src/lib/json.ts";
import type { World } from "./reference.ts";

/** Random schemas, bounds and arguments over few names and few values, so that they meet often. */

const DRAFT_07 = "http://json-schema.org/draft-07/schema#";
const DRAFT_2020 = "https://json-schema.org/draft/2020-12/schema";

const name = fc.constantFrom("a", "b", "c", "constructor", "x_1");
const anyName = fc.oneof(
  { weight: 8, arbitrary: name },
  { weight: 1, arbitrary: fc.constantFrom("e", "z", "valueOf") },
);
const member = fc.constantFrom("p", "q");
const text = fc.constantFrom("", "a", "ab", "abc", "EUR", "USD", "9999", "a@b.co", "😀", "/home/ann/x");
const number = fc.constantFrom(-1, -0, 0, 0.1, 0.3, 1, 1.5, 2, 5, 10, 100);
const scalar: fc.Arbitrary<Json> = fc.oneof(text, number, fc.boolean(), fc.constant(null));
const pattern = fc.constantFrom("a+b?c?", "[A-Z]{3}", "\\d+", ".*", "/home/ann/.*", "a|ab", "\\S*");

const value: fc.Arbitrary<Json> = fc.oneof(
  { weight: 6, arbitrary: scalar },
  { weight: 2, arbitrary: fc.array(scalar, { maxLength: 3 }) },
  { weight: 2, arbitrary: fc.array(fc.dictionary(member, scalar, { maxKeys: 2 }), { maxLength: 2 }) },
  { weight: 2, arbitrary: fc.dictionary(fc.constantFrom("p", "q", "r"), scalar, { maxKeys: 2 }) },
);
export const args: fc.Arbitrary<JsonObject> = fc.dictionary(anyName, value, { maxKeys: 4 });

const leafSchema: fc.Arbitrary<Json> = fc.oneof(
  fc.constantFrom<Json>({}, true, { type: "boolean" }, { type: ["string", "null"] }, { $ref: "#/$defs/d" }),
  fc.record(
    { type: fc.constantFrom("number", "integer"), minimum: number, maximum: fc.constantFrom(5, 50) },
    { requiredKeys: ["type"] },
  ),
  fc.record({ minimum: number, default: scalar }, { requiredKeys: [] }),
  fc.record(
    { type: fc.constant("string"), maxLength: fc.constantFrom(2, 4), pattern, default: text },
    { requiredKeys: ["type"] },
  ),
  fc.record({
    enum: fc.uniqueArray(fc.oneof(text, number), {
      minLength: 1,
      maxLength: 4,
      comparator: "IsStrictlyEqual",
    }),
  }),
  fc.record(
    { anyOf: fc.constant([{ type: "string" }, { type: "integer", maximum: 5 }]), default: scalar },
    { requiredKeys: ["anyOf"] },
  ),
) as fc.Arbitrary<Json>;

const objectSchema = fc.record(
  {
    type: fc.constant("object"),
    properties: fc.dictionary(member, leafSchema, { maxKeys: 2 }),
    required: fc.uniqueArray(member, { maxLength: 1 }),
    additionalProperties: fc.constantFrom<Json>(true, false, { type: "string" }),
  },
  { requiredKeys: ["type", "properties"] },
);
const propertySchema: fc.Arbitrary<Json> = fc.oneof(
  { weight: 5, arbitrary: leafSchema },
  { weight: 2, arbitrary: objectSchema },
  {
    weight: 2,
    arbitrary: fc.record(
      {
        type: fc.constant("array"),
        items: fc.oneof(leafSchema, objectSchema),
        maxItems: fc.constantFrom(2, 3),
      },
      { requiredKeys: ["type"] },
    ),
  },
) as fc.Arbitrary<Json>;

const schema = fc.record(
  {
    $schema: fc.constantFrom(DRAFT_07, DRAFT_2020),
    type: fc.constant("object"),
    $defs: fc.record({
      d: fc.constantFrom<Json>({ type: "integer", maximum: 50, default: 7 }, { type: "string", title: "D" }),
    }),
    properties: fc.dictionary(name, propertySchema, { minKeys: 1, maxKeys: 4 }),
    required: fc.uniqueArray(name, { maxLength: 1 }),
    additionalProperties: fc.constantFrom<Json>(true, false, {}, { type: "string" }),
    patternProperties: fc.constantFrom<Json>(
      { "^x_": { type: "string" } },
      { "^x_": { type: ["number", "string"] } },
    ),
    allOf: fc.constantFrom<Json>([{ properties: { e: { type: "string" } } }], [{ required: ["a"] }]),
  },
  { requiredKeys: ["$schema", "type", "$defs", "properties"] },
) as fc.Arbitrary<JsonObject>;

const numeric = {
  minimum: number,
  maximum: fc.constantFrom(1, 5, 50),
  exclusiveMinimum: number,
  exclusiveMaximum: number,
  multipleOf: fc.constantFrom(0.1, 0.5, 1, 2),
};
const textual = {
  minLength: fc.constantFrom(0, 1, 2),
  maxLength: fc.constantFrom(1, 3, 20),
  pattern,
  format: fc.constantFrom("email", "uri"),
};
const optional = { optional: fc.boolean() };

const leafBound: fc.Arbitrary<Bound> = fc.oneof(
  fc.record({ ...numeric, ...optional }, { requiredKeys: [] }),
  fc.record({ ...textual, ...optional }, { requiredKeys: [] }),
  fc.record({ enum: fc.array(scalar, { maxLength: 6 }), ...optional }, { requiredKeys: ["enum"] }),
  fc.record({ const: scalar, ...optional }, { requiredKeys: ["const"] }),
  fc.record(
    {
      type: fc.constantFrom<string | string[]>("string", "number", "integer", ["string", "null"], "object"),
      ...optional,
    },
    { requiredKeys: ["type"] },
  ),
) as fc.Arbitrary<Bound>;
const forbidden = fc.constant<Bound>({ forbidden: true });

const membersBound = fc.record(
  {
    properties: fc.dictionary(member, fc.oneof(leafBound, forbidden), { maxKeys: 2 }),
    others: fc.boolean(),
    ...optional,
  },
  { requiredKeys: ["properties"] },
) as fc.Arbitrary<Bound>;
const itemsBound = fc.record(
  {
    items: fc.oneof(
      leafBound.map(({ optional: _, ...bound }) => bound),
      membersBound.map(({ optional: _, ...bound }) => bound),
    ),
    minItems: fc.constantFrom(0, 1),
    maxItems: fc.constantFrom(1, 2),
    uniqueItems: fc.boolean(),
    ...optional,
  },
  { requiredKeys: ["maxItems"] },
) as fc.Arbitrary<Bound>;
const set = scalar.map((value): Bound => ({ set: value }));

function bounds(withSet: boolean, keys: fc.Arbitrary<string>, maxKeys: number): fc.Arbitrary<Bounds> {
  const one = fc.oneof(
    { weight: 10, arbitrary: leafBound },
    { weight: 2, arbitrary: membersBound },
    { weight: 2, arbitrary: itemsBound },
    { weight: 1, arbitrary: forbidden },
    ...(withSet ? [{ weight: 1, arbitrary: set }] : []),
  );
  return fc.dictionary(keys, one, { maxKeys });
}

function grant(withSet: boolean): fc.Arbitrary<Grant> {
  return fc.record({
    layer: fc.constant("platform" as const),
    reason: fc.constant("test"),
    rank: fc.constantFrom(10, 100),
    arguments: bounds(
      withSet,
      fc.oneof({ weight: 30, arbitrary: name }, { weight: 1, arbitrary: fc.constant("z") }),
      2,
    ),
    others: fc.oneof(
      { weight: 5, arbitrary: fc.constant(true) },
      { weight: 1, arbitrary: fc.constant(false) },
    ),
    requires: fc.constant([]),
    credential: fc.constantFrom(null, null, null, { source: "crm" }),
    interaction: fc.constant([]),
  });
}

function limit(withSet: boolean): fc.Arbitrary<Limit> {
  return fc.record({
    layer: fc.constant("platform" as const),
    arguments: bounds(withSet, anyName, 1),
    requires: fc.constant([]),
    mustExist: fc.oneof(
      { weight: 5, arbitrary: fc.constant(false) },
      { weight: 1, arbitrary: fc.constant(true) },
    ),
  });
}

export const worlds: fc.Arbitrary<World> = fc.record({
  schema,
  grants: fc.array(grant(true), { maxLength: 3 }),
  limits: fc.oneof(fc.constant([]), fc.array(limit(true), { maxLength: 2 })),
});

export const singleGrantWorlds: fc.Arbitrary<World> = fc.record({
  schema,
  grants: fc.tuple(grant(false)),
  limits: fc.oneof(fc.constant([]), fc.array(limit(false), { maxLength: 1 })),
});

/** Arguments that may well be allowed: for each grant what its bounds and the schema ask for, alone and mixed in. */
export function withLikely(world: World, values: readonly JsonObject[]): readonly JsonObject[] {
  const likely = [{ arguments: {} }, ...world.grants].map((grant) => {
    const bounds = [
      ...world.limits.flatMap((limit) => Object.entries(limit.arguments)),
      ...Object.entries(grant.arguments),
    ];
    const needed = (world.schema.required ?? []) as readonly string[];
    const properties = (world.schema.properties ?? {}) as JsonObject;
    const own = needed.map(
      (key) =>
        [key, Object.hasOwn(properties, key) ? likelyBySchema(properties[key] as JsonObject) : "a"] as const,
    );
    return Object.fromEntries([
      ...own,
      ...bounds
        .filter(
          ([key, bound]) =>
            Object.hasOwn(properties, key) && !bound.forbidden && !Object.hasOwn(bound, "set"),
        )
        .map(([key, bound]) => [key, likelyByBound(bound)] as const),
    ]);
  });
  return [...likely, ...values, ...values.map((value, i) => ({ ...value, ...likely[i % likely.length] }))];
}

function likelyByBound(bound: Bound): Json {
  if (bound.const !== undefined) return bound.const;
  if (bound.enum !== undefined) return bound.enum.at(-1) ?? null;
  if (bound.properties !== undefined)
    return Object.fromEntries(
      Object.entries(bound.properties).map(([key, inner]) => [key, likelyByBound(inner)]),
    );
  if (bound.items !== undefined) return [likelyByBound(bound.items)];
  if (bound.maxItems !== undefined) return [];
  if (bound.format !== undefined) return "a@b.co";
  if (bound.pattern !== undefined) return "ab";
  if (bound.maxLength !== undefined || bound.minLength !== undefined || bound.type === "string") return "abc";
  return (
    bound.minimum ?? bound.maximum ?? (bound.exclusiveMinimum === undefined ? 1 : bound.exclusiveMinimum + 1)
  );
}

function likelyBySchema(schema: JsonObject): Json {
  if (Array.isArray(schema.enum)) return schema.enum[0];
  if (schema.type === "object") return { p: "a" };
  if (schema.type === "array") return [];
  return schema.type === "number" || schema.type === "integer" ? 5 : "ab";
}
