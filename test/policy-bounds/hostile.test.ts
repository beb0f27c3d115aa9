import fc from "fast-check";
import { RE2JS } from "re2js";
import { expect, test } from "vitest";
import type { Json, JsonObject } from "../../src/lib/json.ts";
import { compilePattern, toEcmaPattern } from "../../src/policy/pattern.ts";
import { admitted, bounding, compiled, nothingRequired, open, outcome } from "./open.ts";

/** Generous: the machine may be busy. What it guards against takes minutes. */
const QUICK_MS = 2000;

function quick<T>(act: () => T): T {
  const start = performance.now();
  const result = act();
  expect(performance.now() - start).toBeLessThan(QUICK_MS);
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

test("a text too long for its pattern does not match, rather than freeze the process", () => {
  expect(quick(() => admitted({ pattern: "(?:x?){1000}" }, ["x".repeat(1_000_000), "x"]))).toEqual(["x"]);
  expect(quick(() => admitted({ pattern: "(?:a|a|aa)+" }, [`${"a".repeat(100_000)}!`]))).toEqual([]);
  expect(quick(() => admitted({ format: "url" }, [`http://${":".repeat(1_000_000)}`]))).toEqual([]);
  const schema = compiled({ properties: { x: { pattern: "^(a+)+$", format: "url" } } });
  expect(quick(() => schema.validate({ x: `${"a".repeat(100_000)}!` }))).not.toBeNull();
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
  expect(outcome(world({}), { x: deep })).toBe("arguments_invalid");
  expect(["policy_failed", "argument_out_of_bounds"]).toContain(
    outcome(open({ x: {} }, { grants: [bounding({ x: { uniqueItems: true } })] }), { x: [deep, deep] }),
  );
  expect(outcome(open({ x: {} }, { grants: [bounding({ x: { const: 1 } })] }), { x: deep })).toBe(
    "argument_out_of_bounds",
  );
  expect(outcome(open({}, { grants: [{ reason: "any" }] }, { $ref: "#" }), {})).toBe("arguments_invalid");
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
