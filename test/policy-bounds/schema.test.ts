import { expect, test } from "vitest";
import type { JsonObject } from "../../src/lib/json.ts";
import { compileSchema } from "../../src/policy/schema.ts";
import { compiled } from "./open.ts";

const DRAFT_07 = "http://json-schema.org/draft-07/schema#";
const DRAFT_2020 = "https://json-schema.org/draft/2020-12/schema";

function fits(schema: JsonObject, args: JsonObject): boolean {
  return compiled(schema).validate(args) === null;
}

function faultOf(schema: JsonObject): string {
  const result = compileSchema(schema);
  return result.ok ? "" : result.fault;
}

test("a schema is of the dialect that its own $schema names", () => {
  const tuple = { properties: { a: { items: [{ type: "string" }] } } };
  expect(compiled({ $schema: DRAFT_07, ...tuple }).dialect).toBe("draft-07");
  expect(fits({ $schema: DRAFT_07, ...tuple }, { a: [1] })).toBe(false);
  expect(
    compiled({ $schema: DRAFT_2020, properties: { a: { prefixItems: [{ type: "string" }] } } }).dialect,
  ).toBe("2020-12");
  expect(faultOf({ $schema: DRAFT_2020, type: "object", ...tuple })).toContain("not valid 2020-12");
});

test("without $schema it is 2020-12, and draft-07 where only that fits", () => {
  expect(compiled({ properties: { a: {} } }).dialect).toBe("2020-12");
  expect(compiled({ properties: { a: { items: [{ type: "string" }] } } }).dialect).toBe("draft-07");
  expect(compiled({ $schema: "https://example.com/mine", properties: {} }).dialect).toBe("2020-12");
});

test("a schema that is invalid altogether is a fault that says why", () => {
  expect(faultOf({ type: "string" })).toBe('the schema\'s type is not "object"');
  expect(faultOf({ type: ["object", "null"] })).not.toBe("");
  expect(faultOf({ type: "object", properties: { a: { type: "money" } } })).toContain(
    "schema/properties/a/type",
  );
  expect(faultOf({ type: "object", properties: { a: { minLength: "3" } } })).not.toBe("");
  expect(faultOf({ type: "object", properties: [] })).not.toBe("");
});

test("nothing is fetched: a reference outside the schema is a fault", () => {
  expect(faultOf({ type: "object", properties: { a: { $ref: "https://example.com/a.json" } } })).toContain(
    "can't resolve reference",
  );
  expect(faultOf({ type: "object", properties: { a: { $ref: "#/$defs/none" } } })).not.toBe("");
});

test("one upstream's $id does not answer another's $ref, and may be used twice", () => {
  const shared = {
    $id: "https://example.com/shared",
    properties: { a: { $id: "https://example.com/a", type: "string" } },
  };
  expect(fits(shared, { a: "x" })).toBe(true);
  expect(fits(shared, { a: 1 })).toBe(false);
  expect(faultOf({ type: "object", properties: { a: { $ref: "https://example.com/a" } } })).not.toBe("");
  expect(fits({ $id: DRAFT_2020, properties: { a: { type: "string" } } }, { a: 1 })).toBe(false);
});

test("local references, also recursive ones, are followed", () => {
  const tree = {
    $ref: "#/$defs/node",
    $defs: {
      node: { type: "object", properties: { next: { $ref: "#/$defs/node" }, n: { type: "number" } } },
    },
  };
  expect(fits(tree, { next: { next: { n: 1 } } })).toBe(true);
  expect(fits(tree, { next: { next: { n: "1" } } })).toBe(false);
});

test("checking never changes the arguments: no coercion, no defaults, nothing removed", () => {
  const schema = {
    properties: { n: { type: "number" }, d: { default: 5 } },
    additionalProperties: { type: "string" },
  };
  const args = Object.freeze({ extra: "x" });
  expect(fits(schema, args)).toBe(true);
  expect(args).toEqual({ extra: "x" });
  expect(fits(schema, { n: "5" })).toBe(false);
});

test("a keyword that cannot be compiled is left to the upstream and named", () => {
  const schema = compiled({
    properties: {
      a: { type: "string", pattern: "^(?!admin)" },
      b: { type: "string", format: "colour" },
      c: { type: "string", pattern: "^[a-z]+$" },
    },
  });
  expect(schema.unenforced).toEqual(["/properties/a/pattern", "/properties/b/format"]);
  expect(schema.validate({ a: "admin", b: "x", c: "abc" })).toBeNull();
  expect(schema.validate({ a: 1 }), "the rest of it is enforced").not.toBeNull();
  expect(schema.validate({ c: "ABC" })).not.toBeNull();
});

test("what is left to the upstream never makes the check stricter than the upstream's own", () => {
  const bad = { pattern: "^(?!admin)" };
  expect(fits({ properties: { a: { not: bad } } }, { a: "admin" })).toBe(true);
  expect(fits({ properties: { a: { oneOf: [{ type: "string" }, bad] } } }, { a: "admin" })).toBe(true);
  expect(
    fits(
      { properties: { a: { if: bad, else: true, ["then" as string]: { type: "number" } } } },
      { a: "admin" },
    ),
  ).toBe(true);
  expect(fits({ properties: { a: { not: { $ref: "#/$defs/b" } } }, $defs: { b: bad } }, { a: "admin" })).toBe(
    true,
  );
  expect(
    fits({ patternProperties: { "^(?!x)": { type: "string" } }, additionalProperties: false }, { y: "1" }),
  ).toBe(true);
  expect(
    fits({ allOf: [{ patternProperties: { "^(?!x)": {} } }], unevaluatedProperties: false }, { y: "1" }),
  ).toBe(true);
  expect(fits({ properties: { a: { contains: bad, minContains: 0 } } }, { a: [] })).toBe(true);
});

test("extensions of the validator mean nothing: $async, $data, nullable, id, discriminator", async () => {
  expect(
    fits({ $async: true, properties: { a: { type: "string" } } }, { a: 1 }),
    "an async validator passes everything",
  ).toBe(false);
  expect(fits({ properties: { a: { type: "string", nullable: true } } }, { a: null })).toBe(false);
  expect(fits({ id: "x", nullable: true, properties: { a: { id: "y", discriminator: {} } } }, { a: 1 })).toBe(
    true,
  );
  expect(faultOf({ type: "object", properties: { a: { maximum: { $data: "1/b" } } } })).not.toBe("");
});

test("inherited names are no arguments: constructor, toString, __proto__", () => {
  expect(fits({ required: ["constructor"] }, {})).toBe(false);
  expect(fits({ properties: { constructor: { type: "string" }, toString: { type: "string" } } }, {})).toBe(
    true,
  );
  expect(
    fits({ properties: { a: {} }, additionalProperties: false }, JSON.parse('{"__proto__": {"a": 1}}')),
  ).toBe(false);
  expect(fits({ properties: { a: { enum: [{ valueOf: 1 }] } } }, { a: { valueOf: 1 } })).toBe(true);
  expect(fits({ properties: { a: { const: {} } } }, { a: { constructor: 1 } })).toBe(false);
});

test("multipleOf of an upstream is decimal-exact too", () => {
  expect(fits({ properties: { a: { multipleOf: 0.01 } } }, { a: 19.99 })).toBe(true);
  expect(fits({ properties: { a: { multipleOf: 0.01 } } }, { a: 19.999 })).toBe(false);
});

test("a schema is bounded in size and depth", () => {
  const wide = { type: "object", properties: { a: { enum: Array.from({ length: 10_001 }, (_, i) => i) } } };
  expect(faultOf(wide)).toContain("10000 values");
  let deep: JsonObject = {};
  for (let i = 0; i < 30_000; i++) deep = { not: deep };
  expect(faultOf({ type: "object", properties: { a: deep } })).toContain("64 levels");
});
