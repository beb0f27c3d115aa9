import fc from "fast-check";
import { RE2JS } from "re2js";
import { expect, test } from "vitest";
import type { Json, JsonObject } from "../../src/lib/json.ts";
import { compilePattern, toEcmaPattern } from "../../src/policy/pattern.ts";
import { compileSchema } from "../../src/policy/schema.ts";
import { cpuClock } from "../support/cpu.ts";
import { admitted, bounding, compiled, nothingRequired, open, outcome } from "./open.ts";

/** Of CPU. What it guards against takes minutes. */
const QUICK_MS = 2000;

function quick<T>(act: () => T): T {
  const cost = cpuClock();
  const result = act();
  expect(cost()).toBeLessThan(QUICK_MS);
  return result;
}

function nested(depth: number): Json {
  let value: Json = [];
  for (let i = 0; i < depth; i++) value = i % 2 === 0 ? [value] : { p: value };
  return value;
}

test("names such as __proto__ and constructor are inert, as arguments, bounds and declared properties", () => {
  const args: JsonObject = JSON.parse('{"a": 1, "__proto__": {"b": 1}, "constructor": {"prototype": {}}}');
  const capability = open({ a: {}, b: {} }, { grants: [bounding({ a: {} })] });
  expect(outcome(capability, args)).toBe("argument_out_of_bounds");
  expect(outcome(open({ a: {} }, { grants: [bounding({ constructor: { maximum: 5 } })] }), { a: 1 })).toBe(
    "not_found",
  );
  const declared = open(JSON.parse('{"__proto__": {}, "constructor": {"type": "number"}, "valueOf": {}}'), {
    grants: [
      bounding(JSON.parse('{"constructor": {"maximum": 5}, "__proto__": {"maximum": 5, "optional": true}}')),
    ],
  });
  expect(outcome(declared, {})).toBe("argument_out_of_bounds");
  expect(outcome(declared, { constructor: 5 })).toBe("allow");
  expect(outcome(declared, JSON.parse('{"constructor": 5, "__proto__": 9}'))).toBe("argument_out_of_bounds");
  expect(JSON.stringify(declared.listing().inputSchema)).toContain('"__proto__"');
  expect(({} as JsonObject).b).toBeUndefined();
});

test("injecting __proto__ injects an argument, not a prototype", () => {
  const capability = open(JSON.parse('{"__proto__": {}, "a": {}}'), {
    grants: [bounding(JSON.parse('{"__proto__": {"set": {"x": 1}}}'))],
  });
  const decision = capability.decide({ a: 1 }, nothingRequired);
  expect(JSON.stringify(decision.effect === "allow" && decision.arguments)).toBe(
    '{"a":1,"__proto__":{"x":1}}',
  );
});

test("long arrays under uniqueItems take no time to speak of, in a bound and in an upstream's schema", () => {
  const items = Array.from({ length: 100_000 }, (_, i) => ({ i, text: `item ${i}` }));
  const bound = open({ x: {} }, { grants: [bounding({ x: { uniqueItems: true } })] });
  expect(quick(() => outcome(bound, { x: items }))).toBe("allow");
  expect(quick(() => outcome(bound, { x: [...items, { text: "item 5", i: 5 }] }))).toBe(
    "argument_out_of_bounds",
  );
  const schema = compiled({ properties: { x: { uniqueItems: true } } });
  expect(quick(() => schema.validate({ x: items }))).toBeNull();
  expect(quick(() => schema.validate({ x: [...items, items[7] as Json] }))).toMatchObject({
    keyword: "uniqueItems",
  });
  expect(quick(() => admitted({ uniqueItems: true }, [["__proto__", "__proto__"]]))).toEqual([]);
});

test("many unknown arguments make a short refusal", () => {
  const args = Object.fromEntries(Array.from({ length: 100_000 }, (_, i) => [`z${i}`, i]));
  const decision = quick(() =>
    open({ x: {} }, { grants: [bounding({ x: {} })] }).decide(args, nothingRequired),
  );
  expect(JSON.stringify(decision).length).toBeLessThan(2000);
});

test("extreme numbers are compared exactly and quickly", () => {
  const values = [1e308, -1e308, 5e-324, -0, 0, 1.7976931348623157e308, 2 ** 53, 123456789.125];
  expect(quick(() => admitted({ multipleOf: 5e-324 }, values))).toEqual(values);
  expect(quick(() => admitted({ multipleOf: 1e308 }, values))).toEqual([1e308, -1e308, -0, 0]);
  expect(admitted({ maximum: 0 }, values)).toEqual([-1e308, -0, 0]);
  expect(admitted({ const: 0 }, [-0, 0])).toEqual([-0, 0]);
  expect(admitted({ minimum: 0 }, [Number.NaN, Infinity, -Infinity])).toEqual([]);
  expect(admitted({}, [Number.NaN, Infinity])).toEqual([]);
});

/** A grant for any arguments of a tool with this schema, and what it says of them. */
function decided(schema: JsonObject, args: JsonObject) {
  return open({}, { grants: [{ reason: "any" }] }, schema).decide(args, nothingRequired);
}

/** Each node is one of two things, and both say what is below: checking a wrong leaf takes 2^depth steps. */
const TREE: JsonObject = {
  properties: { filter: { $ref: "#/$defs/node" } },
  $defs: {
    node: {
      anyOf: [
        { properties: { all: { $ref: "#/$defs/node" }, op: { const: "and" } }, required: ["all"] },
        { properties: { all: { $ref: "#/$defs/node" }, op: { const: "or" } }, required: ["all"] },
      ],
    },
  },
};

function branch(depth: number, leaf: Json): Json {
  return depth === 0 ? leaf : { all: branch(depth - 1, leaf) };
}

test("a small call that costs 2^depth steps by a recursive schema is cut and refused", () => {
  for (const depth of [18, 30, 60]) {
    const decision = quick(() => decided(TREE, { filter: branch(depth, 1) }));
    expect(decision).toMatchObject({
      effect: "deny",
      code: "arguments_too_costly",
      reasons: ["checking it takes too many steps"],
    });
  }
  expect(decided(TREE, { filter: branch(8, { all: {} }) })).toMatchObject({ code: "arguments_invalid" });
});

test("a recursive schema is counted wherever its $ref points: by $dynamicRef, into what is no keyword", () => {
  const { node } = TREE.$defs as JsonObject;
  const moved = (ref: JsonObject) =>
    JSON.parse(JSON.stringify(node).replaceAll('{"$ref":"#/$defs/node"}', JSON.stringify(ref)));
  const args = { filter: branch(30, 1) };
  const custom = { $ref: "#/components/schemas/node" };
  const worlds: JsonObject[] = [
    { properties: { filter: custom }, components: { schemas: { node: moved(custom) } } },
    ...["/x/0", "/x/0/0", "/x/required/0", "/x/anyOf/0/0", "/x/pattern"].map((pointer) => {
      const ref = { $ref: `#${pointer}` };
      const x = pointer
        .slice(3)
        .split("/")
        .reduceRight<Json>((inner, key) => (/\d/.test(key) ? [inner] : { [key]: inner }), moved(ref));
      return { properties: { filter: ref }, x };
    }),
    {
      properties: { filter: { $ref: "#/$defs/node" } },
      $defs: { node: { $dynamicAnchor: "node", ...moved({ $dynamicRef: "#node" }) } },
    },
  ];
  for (const schema of worlds) {
    const result = quick(() => compileSchema({ type: "object", ...schema }));
    if (result.ok) expect(quick(() => decided(schema, args))).toMatchObject({ code: "arguments_too_costly" });
    else expect(result.fault).toContain("can't resolve reference");
  }
  // A value is not a schema, though a pointer leads to it.
  for (const keyword of ["const", "enum"]) {
    const ref = { $ref: `#/properties/${keyword}/${keyword}` };
    const schema = {
      properties: { filter: ref, [keyword]: { [keyword]: keyword === "enum" ? [moved(ref)] : moved(ref) } },
    };
    const result = quick(() => compileSchema({ type: "object", ...schema }));
    expect(result.ok ? quick(() => result.schema.validate(args)) : null).toBeNull();
  }
});

test("what a client makes long is counted: patterns, formats, unique items, members, alternatives", () => {
  const items = (schema: JsonObject) => ({ properties: { x: { items: schema } } });
  const alternatives = (schema: JsonObject) => ({
    anyOf: Array.from({ length: 500 }, (_, i) => ({ ...schema, required: [`missing${i}`] })),
  });
  const names = Object.fromEntries(Array.from({ length: 20_000 }, (_, i) => [`n${i}`, 1]));
  const list = Array.from({ length: 20_000 }, (_, i) => [i]);
  const cases: [JsonObject, JsonObject][] = [
    [items({ pattern: "(?:x?){1000}" }), { x: Array.from({ length: 200 }, () => "x".repeat(5000)) }],
    [items({ format: "url" }), { x: Array.from({ length: 250 }, () => `http://${":".repeat(4000)}`) }],
    [{ properties: { x: alternatives({ uniqueItems: true }) } }, { x: list }],
    [{ properties: { x: alternatives({ additionalProperties: { type: "number" } }) } }, { x: names }],
    [
      {
        properties: { x: alternatives({ contains: { $ref: "#/$defs/s" } }) },
        $defs: { s: { type: "string" } },
      },
      { x: list },
    ],
    [{ properties: { x: alternatives({ patternProperties: { "^m": false } }) } }, { x: names }],
  ];
  for (const [schema, args] of cases) {
    const decision = quick(() => decided(schema, args));
    expect(decision.effect).toBe("deny");
  }
});

test("what is sent in bulk is checked in full: the allowance grows with it", () => {
  const numbers = { x: Array.from({ length: 200_000 }, (_, i) => i) };
  expect(quick(() => decided({ properties: { x: { items: { type: "number" } } } }, numbers)).effect).toBe(
    "allow",
  );
  const ids = { x: Array.from({ length: 10_000 }, () => "0189d6f2-7b1a-7c3d-9e4f-5a6b7c8d9e0f") };
  const id = { pattern: "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$" };
  expect(quick(() => decided({ properties: { x: { items: id } } }, ids)).effect).toBe("allow");
  const blocks = Array.from({ length: 40 }, (_, kind) => ({
    properties: { kind: { const: `kind ${kind}` }, text: { type: "string" } },
    required: ["kind"],
  }));
  const sent = { x: Array.from({ length: 2000 }, (_, i) => ({ kind: `kind ${i % 40}`, text: "some text" })) };
  expect(quick(() => decided({ properties: { x: { items: { anyOf: blocks } } } }, sent)).effect).toBe(
    "allow",
  );
});

test("a text too long for its pattern does not match, rather than freeze the process", () => {
  expect(quick(() => admitted({ pattern: "(?:x?){1000}" }, ["x".repeat(1_000_000), "x"]))).toEqual(["x"]);
  expect(quick(() => admitted({ pattern: "(?:a|a|aa)+" }, [`${"a".repeat(100_000)}!`]))).toEqual([]);
  expect(quick(() => admitted({ format: "url" }, [`http://${":".repeat(1_000_000)}`]))).toEqual([]);
  const schema = compiled({ properties: { x: { pattern: "^(a+)+$", format: "url" } } });
  expect(quick(() => schema.validate({ x: `${"a".repeat(100_000)}!` }))).not.toBeNull();
});

test("a hostile schema costs a bounded time to compile, and to list", () => {
  const many = <T>(count: number, make: (i: number) => T) => Array.from({ length: count }, (_, i) => make(i));
  const named = (count: number, schema: Json) => Object.fromEntries(many(count, (i) => [`p${i}`, schema]));
  const faults: [JsonObject, string][] = [
    [{ properties: { a: { anyOf: many(3000, (i) => ({ const: i })) } } }, "1000 schemas in one place"],
    [{ properties: named(3000, { type: "string" }) }, "1000 schemas in one place"],
    [{ properties: named(500, {}), patternProperties: named(500, {}) }, "20000 pairs"],
    [{ properties: { a: { $ref: `#${"/a".repeat(50_000)}` } } }, "2000 characters"],
  ];
  for (const [schema, fault] of faults) {
    const result = quick(() => compileSchema({ type: "object", ...schema }));
    expect(result.ok ? "" : result.fault).toContain(fault);
  }
  const costly = Object.fromEntries(many(150, (i) => [`a{900}b{900}${i}`, { type: "string" }]));
  expect(quick(() => compiled({ patternProperties: costly }).unenforced.length)).toBeGreaterThan(50);
  const long = open(
    { x: { type: "string", default: "x".repeat(1_000_000) } },
    { grants: [bounding({ x: { pattern: "(?:x?){1000}" } })] },
  );
  expect(quick(() => long.listing().inputSchema)).toEqual({ type: "object" });
});

test("an upstream's patterns cost a bounded time to compile", () => {
  const properties = Object.fromEntries(
    Array.from({ length: 200 }, (_, i) => [`p${i}`, { pattern: `a{900}b{900}${i}` }]),
  );
  expect(quick(() => compiled({ properties }).unenforced.length)).toBeGreaterThan(100);
});

test("lone surrogates are values like others and throw nowhere", () => {
  const lone = "\ud800";
  expect(admitted({ enum: [lone] }, [lone, "\ufffd"])).toEqual([lone]);
  expect(admitted({ maxLength: 1 }, [lone, `${lone}x`])).toEqual([lone]);
  expect(
    admitted({ uniqueItems: true }, [
      [lone, "\\ud800"],
      [lone, lone],
    ]),
  ).toEqual([[lone, "\\ud800"]]);
  expect(() => admitted({ pattern: "." }, [lone])).not.toThrow();
});

test("arguments nested beyond the stack are refused and nothing throws", () => {
  const deep = nested(200_000);
  const recursive = {
    $ref: "#/$defs/n",
    $defs: {
      n: {
        properties: { p: { $ref: "#/$defs/n" } },
        items: { $ref: "#/$defs/n" },
        type: ["object", "array"],
      },
    },
  };
  const world = (bound: JsonObject) =>
    open({ x: { $ref: "#/$defs/n" } }, { grants: [bounding({ x: bound })] }, { $defs: recursive.$defs });
  expect(outcome(world({}), { x: deep })).toBe("arguments_too_costly");
  expect(["policy_failed", "argument_out_of_bounds"]).toContain(
    outcome(open({ x: {} }, { grants: [bounding({ x: { uniqueItems: true } })] }), { x: [deep, deep] }),
  );
  expect(outcome(open({ x: {} }, { grants: [bounding({ x: { const: 1 } })] }), { x: deep })).toBe(
    "argument_out_of_bounds",
  );
  expect(outcome(open({}, { grants: [{ reason: "any" }] }, { $ref: "#" }), {})).toBe("arguments_too_costly");
});

test("a schema that refers to itself is outlined and narrowed without end", () => {
  const capability = open(
    { x: { $ref: "#" }, n: { type: "number" } },
    { grants: [bounding({ x: { properties: { x: { properties: { n: { maximum: 5 } } } } } })] },
  );
  expect(outcome(capability, { x: { x: { n: 5 } } })).toBe("allow");
  expect(outcome(capability, { x: { x: { n: 6 } } })).toBe("argument_out_of_bounds");
  expect(JSON.stringify(capability.listing().inputSchema)).toContain('"maximum":5');
});

const piece = fc.constantFrom(
  ..."a b A 0 _ . é 😀 - ^ $ | ( ) (?: [ ] [^ * + ? {2} {1,} {0,2} \\d \\D \\w \\W \\s \\S \\b \\. \\- \\/ \\[ \\n \\x41 & [a-c] [^a] [\\s.] [\\]-] (a|b)".split(
    " ",
  ),
);
const subject = fc.string({
  unit: fc.constantFrom(...("abcA0_.é😀-^ \n\r\t\u2028\u00a0[]&/$".match(/./gsu) ?? [])),
  maxLength: 6,
});

test("a pattern that is listed means the same to ECMAScript as it does to RE2", () => {
  let compared = 0;
  fc.assert(
    fc.property(
      fc.array(piece, { maxLength: 6 }),
      fc.array(subject, { minLength: 10, maxLength: 10 }),
      (pieces, subjects) => {
        const source = pieces.join("");
        const pattern = compilePattern(source);
        const ecma = pattern && toEcmaPattern(source);
        if (pattern === null || ecma === null) return;
        const re = new RegExp(ecma, "u");
        for (const text of subjects) {
          compared++;
          expect(re.test(text), JSON.stringify({ source, ecma, text })).toBe(
            RE2JS.compile(`^(?:${source})$`).test(text),
          );
          expect(pattern.matches(text)).toBe(re.test(text));
        }
      },
    ),
    // Once the two did not mean the same: `]` first in a class.
    {
      numRuns: 3000,
      examples: [
        [
          ["[^", "]", "[\\s.]"],
          ["a", "]"],
        ],
        [
          ["[", "]", "a", "]"],
          ["a", "]"],
        ],
      ],
    },
  );
  expect(compared).toBeGreaterThan(2000);
});
