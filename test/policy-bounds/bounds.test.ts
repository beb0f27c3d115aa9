import { expect, test } from "vitest";
import type { Json, JsonObject } from "../../src/lib/json.ts";
import { admitted, bounding, open, outcome } from "./open.ts";

const OUT = "argument_out_of_bounds";

test("a bound implies its type: maximum refuses the text 9999, and so on for every keyword", () => {
  const values = [1, "9999", "1", true, null, [1], { p: 1 }];
  expect(admitted({ maximum: 500 }, values)).toEqual([1]);
  expect(admitted({ minimum: 0 }, values)).toEqual([1]);
  expect(admitted({ multipleOf: 1 }, values)).toEqual([1]);
  expect(admitted({ minLength: 1 }, values)).toEqual(["9999", "1"]);
  expect(admitted({ pattern: "\\d+" }, values)).toEqual(["9999", "1"]);
  expect(admitted({ format: "regex" }, values)).toEqual(["9999", "1"]);
  expect(admitted({ format: "int32" }, values)).toEqual([1]);
  expect(admitted({ items: {} }, values)).toEqual([[1]]);
  expect(admitted({ uniqueItems: false }, values)).toEqual([[1]]);
  expect(admitted({ type: ["integer", "null"] }, values)).toEqual([1, null]);
  expect(admitted({}, values)).toEqual(values);
});

test("a bounded argument must be present; optional lifts it", () => {
  const must = open({ x: { type: "number" } }, { grants: [bounding({ x: { maximum: 5 } })] });
  expect(outcome(must, {})).toBe(OUT);
  const may = open({ x: { type: "number" } }, { grants: [bounding({ x: { maximum: 5, optional: true } })] });
  expect(outcome(may, {})).toBe("allow");
  expect(outcome(may, { x: 6 })).toBe(OUT);
});

test("a limit's bounded argument must be present too", () => {
  const capability = open(
    { x: { type: "number" } },
    { grants: [{ reason: "any" }], limits: [{ arguments: { x: { maximum: 5 } } }] },
  );
  expect(outcome(capability, {})).toBe(OUT);
  expect(outcome(capability, { x: 5 })).toBe("allow");
});

test("pattern is RE2 and must match the whole string", () => {
  expect(admitted({ pattern: "a|ab" }, ["a", "ab", "xa", "ax", "a\n", ""])).toEqual(["a", "ab"]);
  expect(admitted({ pattern: "a$" }, ["a", "a\n"])).toEqual(["a"]);
  expect(admitted({ pattern: "(?i)eur" }, ["EUR", "eur", "eurx"])).toEqual(["EUR", "eur"]);
});

test("numbers are compared decimal-exact", () => {
  expect(admitted({ multipleOf: 0.1 }, [0.3, 0.7, 1.1, 0.25, 1e-7, 0, -0.3])).toEqual([
    0.3, 0.7, 1.1, 0, -0.3,
  ]);
  expect(admitted({ multipleOf: 0.01 }, [4.35, 1.005, 1e21, 19.99])).toEqual([4.35, 1e21, 19.99]);
  expect(admitted({ multipleOf: 1e-7 }, [1e-7, 3e-7, 1e-8, 1])).toEqual([1e-7, 3e-7, 1]);
  expect(admitted({ multipleOf: 3 }, [9007199254740991, 9007199254740990, 3e20])).toEqual([
    9007199254740990, 3e20,
  ]);
  expect(admitted({ exclusiveMinimum: 0, maximum: 0.3 }, [0, -0, 5e-324, 0.3, 0.30000000000000004])).toEqual([
    5e-324, 0.3,
  ]);
  const doubled = { minimum: 0, exclusiveMinimum: 0, maximum: 9, exclusiveMaximum: 9 };
  expect(admitted(doubled, [0, 1, 9])).toEqual([1]);
});

test("lengths count Unicode code points", () => {
  expect(admitted({ maxLength: 2 }, ["😀😀", "😀😀😀", "ab", "abc"])).toEqual(["😀😀", "ab"]);
  expect(admitted({ minLength: 2 }, ["😀", "😀a"])).toEqual(["😀a"]);
});

test("enum and const compare JSON values: 1 is 1.0, the order of members means nothing", () => {
  const values = [1, "1", true, { a: 1, b: [2] }, { b: [2], a: 1 }, { a: 1 }, [1], null];
  expect(admitted({ enum: [1, { b: [2], a: 1 }] }, values)).toEqual([1, { a: 1, b: [2] }, { b: [2], a: 1 }]);
  expect(admitted({ const: null }, values)).toEqual([null]);
  expect(admitted({ enum: [1, 2], const: 2 }, [1, 2])).toEqual([2]);
});

test("arrays: items, minItems, maxItems, uniqueItems, and arrays of objects", () => {
  expect(
    admitted({ minItems: 1, maxItems: 2, items: { maximum: 5 } }, [[], [1], [1, 5], [1, 6], [1, 1, 1]]),
  ).toEqual([[1], [1, 5]]);
  expect(
    admitted({ uniqueItems: true }, [
      [1, 1],
      [1, "1"],
      [{ a: 1 }, { a: 1 }],
      [[1], [2]],
    ]),
  ).toEqual([
    [1, "1"],
    [[1], [2]],
  ]);
  const rows = open(
    { rows: { type: "array", items: { type: "object", properties: { id: {}, amount: {} } } } },
    { grants: [bounding({ rows: { items: { properties: { amount: { maximum: 5 } } } } })] },
  );
  expect(outcome(rows, { rows: [{ id: 1, amount: 5 }, { amount: 1 }] })).toBe("allow");
  expect(outcome(rows, { rows: [{ amount: 5 }, { amount: 6 }] })).toBe(OUT);
  expect(outcome(rows, { rows: [{ id: 1 }] }), "a bounded member must be present").toBe(OUT);
  expect(outcome(rows, { rows: [{ amount: 1, other: 1 }] }), "undeclared, where nested bounds apply").toBe(
    OUT,
  );
});

test("nested properties: members the schema does not declare are refused, and others: false refuses the rest", () => {
  const options = { options: { type: "object", properties: { size: {}, colour: {} } } };
  const nested = open(options, { grants: [bounding({ options: { properties: { size: { maximum: 5 } } } })] });
  expect(outcome(nested, { options: { size: 5, colour: 1 } })).toBe("allow");
  expect(outcome(nested, { options: { size: 5, weight: 1 } })).toBe(OUT);
  const closed = open(options, {
    grants: [bounding({ options: { properties: { size: {} }, others: false } })],
  });
  expect(outcome(closed, { options: { size: 5 } })).toBe("allow");
  expect(outcome(closed, { options: { size: 5, colour: 1 } })).toBe(OUT);
});

test("nested bounds that nothing can meet admit nothing, rather than everything", () => {
  const never = { properties: { p: { minimum: 1, exclusiveMaximum: 1 } } };
  const schema = { type: "object", additionalProperties: { type: "string" } };
  expect(outcome(open({ x: schema }, { grants: [bounding({ x: never })] }), { x: { p: "a" } })).toBe(
    "not_found",
  );
  const optional = open({ x: schema }, { grants: [bounding({ x: { ...never, optional: true } })] });
  expect(outcome(optional, { x: { p: "a" } })).toBe(OUT);
  expect(outcome(optional, {})).toBe("allow");
});

test("set injects an argument that the caller neither sees nor sends", () => {
  const capability = open(
    { region: { type: "string" }, text: { type: "string" } },
    { grants: [bounding({ region: { set: "eu" } })] },
    { required: ["region", "text"] },
  );
  const decision = capability.decide({ text: "hi" }, { hold: () => [], describe: () => undefined });
  expect(decision).toMatchObject({ effect: "allow", arguments: { text: "hi", region: "eu" } });
  expect(outcome(capability, { text: "hi", region: "eu" }), "even the same value").toBe(OUT);
  const { inputSchema, note } = capability.listing();
  expect(JSON.stringify({ inputSchema, note })).not.toContain("region");
  expect(inputSchema).toMatchObject({ required: ["text"] });
});

test("what a grant sets must meet the limits, and a value that conflicts makes the grant unusable", () => {
  const world = (limit: object) =>
    open(
      { x: {} },
      { grants: [bounding({ x: { set: 5 } })], limits: [{ arguments: { x: limit as never } }] },
    );
  expect(outcome(world({ maximum: 5 }), {})).toBe("allow");
  expect(world({ maximum: 4 }).listed).toBe(false);
  expect(world({ forbidden: true }).listed).toBe(false);
  expect(world({ set: 6 }).listed).toBe(false);
  expect(outcome(world({ set: 5 }), {})).toBe("allow");
});

test("a value that is set and does not fit the schema is policy's fault, not the caller's", () => {
  const capability = open(
    { n: { type: "number", not: { const: 5 } } },
    { grants: [bounding({ n: { set: 5 } })] },
  );
  const decision = capability.decide({}, { hold: () => [], describe: () => undefined });
  expect(decision).toMatchObject({ code: "policy_failed" });
  expect(decision).not.toHaveProperty("data");
});

test("forbidden refuses the argument; others: false in a grant refuses every argument it does not bound", () => {
  const properties = { a: {}, b: {} };
  const forbidden = open(properties, { grants: [bounding({ a: { forbidden: true } })] });
  expect(outcome(forbidden, { b: 1 })).toBe("allow");
  expect(outcome(forbidden, { a: 1 })).toBe(OUT);
  const closed = open(properties, { grants: [bounding({ a: { optional: true } }, { others: false })] });
  expect(outcome(closed, { a: 1 })).toBe("allow");
  expect(outcome(closed, { b: 1 })).toBe(OUT);
  const none = open(properties, { grants: [{ reason: "none", others: false }] });
  expect([outcome(none, {}), outcome(none, { a: 1 })]).toEqual(["allow", OUT]);
});

test("others: false holds beside a limit that says nothing of the rest, and within nested bounds of either", () => {
  const properties = { a: {}, b: {}, o: { properties: { p: {}, q: {} } } };
  const limits = [{ arguments: { a: { optional: true } } }];
  const closed = open(properties, {
    grants: [bounding({ a: { optional: true } }, { others: false })],
    limits,
  });
  expect([outcome(closed, { a: 1 }), outcome(closed, { b: 1 })]).toEqual(["allow", OUT]);
  const [p, alone] = [{ p: {} }, { properties: { p: {} }, others: false }];
  for (const [own, limit] of [
    [alone, { properties: p }],
    [{ properties: p }, alone],
  ]) {
    const nested = open(properties, {
      grants: [bounding({ o: own as JsonObject })],
      limits: [{ arguments: { o: limit as JsonObject } }],
    });
    expect([outcome(nested, { o: { p: 1 } }), outcome(nested, { o: { p: 1, q: 1 } })]).toEqual([
      "allow",
      OUT,
    ]);
  }
});

test("arguments that the schema does not declare are refused wherever bounds apply", () => {
  const bound = { grants: [bounding({ a: {} })] };
  const free = { grants: [{ reason: "free" }] };
  expect(outcome(open({ a: {} }, free), { a: 1, z: 1 }), "no bounds: the schema alone decides").toBe("allow");
  expect(outcome(open({ a: {} }, bound), { a: 1, z: 1 })).toBe(OUT);
  expect(outcome(open({ a: {} }, bound, { additionalProperties: true }), { a: 1, z: 1 })).toBe(OUT);
  const limited = { ...free, limits: [{ arguments: { a: { optional: true } } }] };
  expect(outcome(open({ a: {} }, limited), { z: 1 })).toBe(OUT);
});

test("declared is what properties, patternProperties, a schema for the rest, required and $ref, allOf, anyOf declare", () => {
  const bound = { grants: [bounding({ a: { optional: true } })] };
  const world = (more: object) => open({ a: {} }, bound, more as never);
  expect(outcome(world({ patternProperties: { "^x_": {} } }), { x_1: 1 })).toBe("allow");
  expect(outcome(world({ patternProperties: { "^x_": {} } }), { y_1: 1 })).toBe(OUT);
  expect(outcome(world({ additionalProperties: { type: "string" } }), { z: "1" })).toBe("allow");
  expect(outcome(world({ allOf: [{ properties: { z: {} } }] }), { z: 1 })).toBe("allow");
  expect(outcome(world({ anyOf: [{ properties: { z: {} } }, {}] }), { z: 1 })).toBe("allow");
  expect(outcome(world({ required: ["z"] }), { z: 1 })).toBe("allow");
  expect(outcome(world({ dependentSchemas: { a: { properties: { z: {} } } } }), { z: 1 })).toBe("allow");
  expect(outcome(world({ $ref: "#/$defs/more", $defs: { more: { properties: { z: {} } } } }), { z: 1 })).toBe(
    "allow",
  );
});

test("a bound on an argument that the tool does not declare makes that grant unusable, with a warning", () => {
  const capability = open({ a: {} }, { grants: [bounding({ amonut: { maximum: 5 } }), { reason: "other" }] });
  expect(capability.warnings).toEqual(['grant "test" is unusable: the target does not declare /amonut']);
  expect(outcome(capability, { a: 1 })).toBe("allow");
  const nested = open(
    { a: { properties: { p: {} } } },
    { grants: [bounding({ a: { properties: { q: {} } } })] },
  );
  expect(nested.listed).toBe(false);
  expect(nested.warnings[0]).toContain("/a/q");
});

test("a limit on an undeclared argument has no effect on what is declared, and never lets the argument through", () => {
  const limits = [{ arguments: { amount: { maximum: 5 } } }];
  const capability = open({ a: {} }, { grants: [{ reason: "any" }], limits });
  expect(outcome(capability, { a: 1 })).toBe("allow");
  expect(outcome(capability, { a: 1, amount: 9 }), "an upstream may take what it does not declare").toBe(OUT);
});

test("with must_exist a limit on an undeclared argument closes the target", () => {
  const limits = [{ arguments: { amount: { maximum: 5 } }, must_exist: true }];
  const capability = open({ a: {} }, { grants: [{ reason: "any" }], limits });
  expect(capability.listed).toBe(false);
  expect(outcome(capability, { a: 1 })).toBe("not_found");
  expect(capability.warnings[0]).toContain("/amount");
});

test.each<[string, JsonObject, JsonObject, Json, Json]>([
  ["an open edge at the same number", { minimum: 5 }, { exclusiveMinimum: 5 }, 6, 5],
  ["an open edge above at the same number", { maximum: 5 }, { exclusiveMaximum: 5 }, 4, 5],
  ["unique items", { maxItems: 3 }, { uniqueItems: true }, [1, 2], [1, 1]],
  ["values", { enum: [1, 2] }, { enum: [2, 3] }, 2, 1],
  ["the presence of an argument", { optional: true }, {}, 1, "absent"],
])("%s, asked for by a grant or by a limit, holds for both together", (_, one, other, fits, fails) => {
  for (const [grant, limit] of [
    [one, other],
    [other, one],
  ] as const) {
    const capability = open(
      { x: {} },
      { grants: [bounding({ x: grant })], limits: [{ arguments: { x: limit } }] },
    );
    expect(outcome(capability, { x: fits })).toBe("allow");
    expect(outcome(capability, fails === "absent" ? {} : { x: fails })).toBe(OUT);
  }
});

test("what a limit sets is injected under every grant, and the caller neither sees nor sends it", () => {
  const capability = open(
    { region: { type: "string" }, a: {} },
    { grants: [{ reason: "any" }], limits: [{ arguments: { region: { set: "eu" } } }] },
  );
  const decision = capability.decide({ a: 1 }, { hold: () => [], describe: () => undefined });
  expect(decision).toMatchObject({ effect: "allow", arguments: { a: 1, region: "eu" } });
  expect(outcome(capability, { a: 1, region: "eu" })).toBe(OUT);
  expect(JSON.stringify(capability.listing().inputSchema)).not.toContain("region");
});

test("limits hold for every grant: the tighter bound decides and is the one that is named", () => {
  const capability = open(
    { x: {} },
    {
      grants: [bounding({ x: { minimum: 2, maximum: 500 } })],
      limits: [{ arguments: { x: { maximum: 100 } } }, { arguments: { x: { minimum: 0 } } }],
    },
  );
  expect([1, 2, 100, 101].map((x) => outcome(capability, { x }))).toEqual([OUT, "allow", "allow", OUT]);
  expect(capability.decide({ x: 200 }, { hold: () => [], describe: () => undefined })).toMatchObject({
    data: { pointer: "/x", bound: { maximum: 100 } },
  });
});
