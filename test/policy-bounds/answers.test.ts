import { expect, test } from "vitest";
import type { Json, JsonObject } from "../../src/lib/json.ts";
import { parseGrant, parseLimit } from "../../src/policy/answers.ts";
import { boundsFault } from "../../src/policy/bounds.ts";

const boundFault = (bound: Json) => boundsFault({ x: bound }, "arguments");

function faultOf(value: Json): string {
  const parsed = parseGrant(value, "platform");
  return parsed.ok ? "" : parsed.fault;
}

test("a grant has its defaults: rank 100, others allowed, no requirement, no credential, no interaction", () => {
  expect(parseGrant({ reason: "r" }, "tenant")).toEqual({
    ok: true,
    value: {
      layer: "tenant",
      reason: "r",
      rank: 100,
      arguments: {},
      others: true,
      requires: [],
      credential: null,
      interaction: [],
    },
  });
  expect(parseLimit({ must_exist: true, requires: ["x"] }, "platform")).toEqual({
    ok: true,
    value: { layer: "platform", arguments: {}, requires: ["x"], mustExist: true },
  });
});

test("an obligation that this version does not know denies: closed keys", () => {
  for (const key of ["redact", "approval", "rate", "Reason", "__proto__", "constructor"]) {
    expect(faultOf(JSON.parse(`{"reason": "r", ${JSON.stringify(key)}: {}}`)), key).toBe(
      `grant.${key} is not known to this version`,
    );
    expect(parseLimit(JSON.parse(`{${JSON.stringify(key)}: {}}`), "platform")).toMatchObject({ ok: false });
  }
  expect(parseLimit({ others: false }, "platform")).toMatchObject({ ok: false });
});

test("every part of a grant is typed", () => {
  const bad: JsonObject[] = [
    { rank: 1.5 },
    { rank: "1" },
    { others: "no" },
    { requires: "x" },
    { requires: [1] },
    { requires: ["a/b"] },
    { requires: [""] },
    { credential: "crm" },
    { credential: {} },
    { credential: { source: "" } },
    { credential: { source: "crm", ttl: 0 } },
    { credential: { source: "crm", scope: "x" } },
    { interaction: ["everything"] },
    { arguments: [] },
    { arguments: { x: 5 } },
    { reason: "" },
  ];
  for (const part of bad) expect(faultOf({ reason: "r", ...part }), JSON.stringify(part)).not.toBe("");
  expect(faultOf({})).toBe("grant.reason is missing");
  for (const value of [null, "grant", ["grant"], 1]) expect(faultOf(value)).not.toBe("");
});

test("bounds are a closed vocabulary, also when built from data", () => {
  const bad: JsonObject[] = [
    { maxmum: 5 },
    { anyOf: [] },
    { $ref: "#" },
    { required: true },
    { toString: 1 },
    { minimum: "5" },
    { maximum: null },
    { multipleOf: 0 },
    { multipleOf: -1 },
    { minLength: -1 },
    { maxLength: 1.5 },
    { minItems: "1" },
    { type: "float" },
    { type: [] },
    { type: "fraction" },
    { type: null },
    { enum: "a" },
    { pattern: 5 },
    { format: "colour" },
    { format: "toString" },
    { uniqueItems: 1 },
    { items: [] },
    { items: { set: 1 } },
    { items: { optional: true } },
    { items: { forbidden: true } },
    { properties: { p: { set: 1 } } },
    { properties: { p: { oops: 1 } } },
    { others: false },
    { forbidden: false },
    { optional: "yes" },
    { set: 1, maximum: 5 },
    { forbidden: true, optional: true },
  ];
  for (const bound of bad) expect(boundFault(bound), JSON.stringify(bound)).not.toBeNull();
  expect(boundFault({ type: ["string", "null"], optional: true, enum: [] })).toBeNull();
});

test("a bound's pattern that RE2 cannot compile is a fault: lookaround, backreferences, counts that cost too much", () => {
  for (const pattern of [
    "(?=a)b",
    "(?<!a)b",
    "(a)\\1",
    "a{1001}",
    "(",
    "a)|(b",
    "a**",
    "a{1000}".repeat(285),
  ]) {
    expect(boundFault({ pattern }), pattern.slice(0, 20)).not.toBeNull();
  }
});

test("a fault says where: it goes to the record and to whoever wrote the policy", () => {
  expect(faultOf({ reason: "r", arguments: { opts: { properties: { size: { maximum: "5" } } } } })).toBe(
    "grant.arguments.opts.properties.size.maximum must be a number",
  );
});

test("bounds nested beyond measure are a fault, not a stack overflow", () => {
  let bound: JsonObject = {};
  for (let i = 0; i < 50_000; i++) bound = { items: bound };
  expect(boundFault(bound)).not.toBeNull();
});
