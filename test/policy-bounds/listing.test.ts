import { expect, test } from "vitest";
import type { JsonObject } from "../../src/lib/json.ts";
import { bounding, open, outcome, type Said } from "./open.ts";
import { plainAjv } from "./reference.ts";

const DRAFT_07 = "http://json-schema.org/draft-07/schema#";

function listing(properties: JsonObject, said: Said, more: JsonObject = {}) {
  return open(properties, said, more).listing();
}

function listed(schema: JsonObject, bound: JsonObject, more: JsonObject = {}): unknown {
  const { properties } = listing({ x: schema }, { grants: [bounding({ x: bound })] }, more).inputSchema;
  return (properties as JsonObject).x;
}

test("the listed schema is one plain object that keeps titles, descriptions, $schema and $defs", () => {
  const { inputSchema, note } = listing(
    {
      amount: { type: "number", title: "Amount", description: "in euros", minimum: 1 },
      currency: { type: "string", enum: ["EUR", "USD"] },
      text: { type: "string" },
    },
    {
      grants: [bounding({ amount: { maximum: 500 }, currency: { const: "EUR" } })],
      limits: [{ arguments: { amount: { maximum: 10_000 } } }],
    },
    { $schema: DRAFT_07, title: "Refund", description: "Refunds.", $defs: { x: {} }, required: ["text"] },
  );
  expect(inputSchema).toEqual({
    $schema: DRAFT_07,
    type: "object",
    title: "Refund",
    description: "Refunds.",
    $defs: { x: {} },
    properties: {
      amount: { type: "number", title: "Amount", description: "in euros", minimum: 1, maximum: 500 },
      currency: { type: "string", enum: ["EUR"] },
      text: { type: "string" },
    },
    required: ["text", "amount", "currency"],
    additionalProperties: false,
  });
  expect(note).toBe("");
});

test("a grant without bounds lists the schema as it was announced", () => {
  const properties = { x: { anyOf: [{ type: "string" }] } };
  const { inputSchema } = listing(
    properties,
    { grants: [{ reason: "any" }] },
    { additionalProperties: true },
  );
  expect(inputSchema).toEqual({ type: "object", properties, additionalProperties: true });
});

test("the tighter of schema and bound is listed", () => {
  expect(listed({ type: "number", minimum: 5, maximum: 10 }, { minimum: 1, maximum: 7 })).toEqual({
    type: "number",
    minimum: 5,
    maximum: 7,
  });
  expect(listed({ type: "integer" }, { type: "number", exclusiveMaximum: 7 })).toEqual({
    type: "integer",
    exclusiveMaximum: 7,
  });
  expect(listed({ type: ["string", "null"] }, { maxLength: 3 })).toEqual({ type: "string", maxLength: 3 });
  expect(listed({ enum: [1, 5, 50] }, { maximum: 10 })).toEqual({ enum: [1, 5] });
  expect(listed({}, { enum: ["a", "a", "b"] })).toEqual({ enum: ["a", "b"] });
  expect(listed({ type: "number", multipleOf: 2 }, { multipleOf: 3 })).toEqual({
    type: "number",
    multipleOf: 2,
    allOf: [{ multipleOf: 3 }],
  });
  expect(
    listed({ type: "array", items: { type: "string" } }, { items: { enum: ["a"] }, uniqueItems: true }),
  ).toEqual({ type: "array", items: { type: "string", enum: ["a"] }, uniqueItems: true });
});

test("alternatives of an upstream stay, with the bound beside them", () => {
  expect(listed({ anyOf: [{ type: "integer" }, { type: "null" }], default: null }, { maximum: 5 })).toEqual({
    anyOf: [{ type: "integer" }, { type: "null" }],
    type: "number",
    maximum: 5,
  });
});

test("a local reference is put in place; one that cannot be moved is kept beside the bound", () => {
  const more = {
    $defs: { c: { type: "string", enum: ["EUR", "USD"], default: "USD" }, d: { $id: "d", type: "string" } },
  };
  expect(listed({ $ref: "#/$defs/c", description: "what" }, { const: "EUR" }, more)).toEqual({
    type: "string",
    enum: ["EUR"],
    description: "what",
  });
  expect(listed({ $ref: "#/$defs/d" }, { maxLength: 3 }, more)).toEqual({
    allOf: [{ $ref: "#/$defs/d" }, { type: "string", maxLength: 3 }],
  });
});

test("upstream defaults outside the bounds are dropped", () => {
  expect(listed({ type: "number", default: 900 }, { maximum: 500 })).toEqual({
    type: "number",
    maximum: 500,
  });
  expect(listed({ type: "number", default: 5 }, { maximum: 500 })).toEqual({
    type: "number",
    maximum: 500,
    default: 5,
  });
  expect(
    listed(
      { type: "object", properties: { p: { type: "number", default: 9 } } },
      { properties: { p: { maximum: 5 } } },
    ),
  ).toEqual({
    type: "object",
    properties: { p: { type: "number", maximum: 5 } },
    required: ["p"],
    additionalProperties: false,
  });
});

test("per argument the union of the grants' bounds under the limits, and the alternatives in words", () => {
  const { inputSchema, note } = listing(
    { amount: { type: "number" }, currency: { type: "string" }, note: { type: "string" } },
    {
      grants: [
        bounding({ amount: { maximum: 100 }, currency: { const: "EUR" } }),
        bounding({ amount: { maximum: 500 }, currency: { const: "USD" }, note: { minLength: 1 } }),
      ],
      limits: [{ arguments: { amount: { minimum: 1, maximum: 300 } } }],
    },
  );
  expect(inputSchema).toMatchObject({
    properties: {
      amount: { minimum: 1, maximum: 300 },
      currency: { enum: ["EUR", "USD"] },
      note: { type: "string" },
    },
    required: ["amount", "currency"],
  });
  expect(inputSchema).not.toHaveProperty("anyOf");
  expect(note).toBe(
    'Policy allows one of these: (1) /amount must be at least 1 and be at most 100, /currency must be "EUR"; ' +
      '(2) /amount must be at least 1 and be at most 300, /currency must be "USD", /note must have at least 1 characters.',
  );
});

test("an argument that no alternative lets the caller send is in no words either", () => {
  const { note } = listing(
    { amount: { type: "number" }, override: {}, region: {} },
    {
      grants: [
        bounding(
          { amount: { maximum: 100 }, override: { forbidden: true }, region: { set: "eu" } },
          { rank: 1 },
        ),
        bounding(
          { amount: { maximum: 500 }, override: { forbidden: true }, region: { set: "us" } },
          { rank: 2 },
        ),
      ],
    },
  );
  expect(note).toBe(
    "Policy allows one of these: (1) /amount must be at most 100; (2) /amount must be at most 500.",
  );
});

test("forbidden arguments are not listed, and with others: false only the bounded ones are", () => {
  const properties = { a: { type: "string" }, b: { type: "string" }, c: {} };
  expect(listing(properties, { grants: [bounding({ b: { forbidden: true } })] }).inputSchema).toMatchObject({
    properties: { a: {}, c: {} },
    additionalProperties: false,
  });
  expect(
    listing(properties, { grants: [bounding({ a: { optional: true } }, { others: false })] }).inputSchema,
  ).toEqual({
    type: "object",
    properties: { a: { type: "string" } },
    additionalProperties: false,
  });
});

test("an injected argument is not listed, nor is what would ask for it", () => {
  const { inputSchema } = listing(
    { region: { type: "string" }, a: {} },
    { grants: [bounding({ region: { set: "eu" } })] },
    {
      required: ["region"],
      dependentRequired: { a: ["region"] },
      anyOf: [{ required: ["region"] }],
      minProperties: 2,
      examples: [{ region: "us" }],
    },
  );
  expect(inputSchema).toEqual({
    type: "object",
    properties: { a: {} },
    required: [],
    additionalProperties: false,
  });
});

test("a pattern is listed as ECMAScript where it means the same there, and in words otherwise", () => {
  expect(listed({ type: "string" }, { pattern: "/home/ann/.*" })).toEqual({
    type: "string",
    pattern: "^(?:/home/ann/[^\\n]*)$",
  });
  const { inputSchema, note } = listing(
    { x: { type: "string" } },
    { grants: [bounding({ x: { pattern: "(?i)eur" } })] },
  );
  expect(inputSchema).toMatchObject({ properties: { x: { type: "string" } } });
  expect(note).toBe("/x must match the whole pattern (?i)eur.");
  expect(listed({ type: "string", pattern: "^a" }, { pattern: "ab" })).toEqual({
    type: "string",
    pattern: "^a",
    allOf: [{ pattern: "^(?:ab)$" }],
  });
});

test("the listing is made once", () => {
  const capability = open({ x: {} }, { grants: [bounding({ x: { maximum: 5 } })] });
  expect(capability.listing()).toBe(capability.listing());
});

test("what the upstream announced is not changed by listing it", () => {
  const properties = { x: { type: "number", default: 9, items: {} } };
  const before = JSON.stringify(properties);
  listing(properties, { grants: [bounding({ x: { maximum: 5, multipleOf: 2 } })] });
  expect(JSON.stringify(properties)).toBe(before);
});

test("what a grant sets is not sent either where the schema takes any name, or any of a pattern", () => {
  const sets = { grants: [bounding({ region: { set: "eu" } })] };
  for (const more of [
    { patternProperties: { "^r": { type: "string" } } },
    { additionalProperties: { type: "string" } },
  ]) {
    const capability = open({ x: {} }, sets, more);
    expect(outcome(capability, { region: "us" })).toBe("argument_out_of_bounds");
    const listed = plainAjv(capability.listing().inputSchema);
    expect([listed({ x: 1 }), listed({ region: "us" })]).toEqual([true, false]);
  }
});

test("a name that only an alternative declares stays within the schema's unevaluatedProperties", () => {
  const capability = open(
    { x: {} },
    { grants: [bounding({ x: { maximum: 3 } })] },
    {
      anyOf: [{ required: ["x"] }, { properties: { v: { type: "string" } }, required: ["v"] }],
      unevaluatedProperties: { type: "string" },
    },
  );
  const listed = plainAjv(capability.listing().inputSchema);
  for (const args of [{ x: 1 }, { x: 1, v: "a" }, { x: 1, v: {} }, { x: 1, other: 5 }])
    expect(listed(args), JSON.stringify(args)).toBe(outcome(capability, args) === "allow");
});
