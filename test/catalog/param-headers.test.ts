import { expect, test } from "vitest";
import { declaredParamHeaders, paramHeaders } from "../../src/lib/param-headers.ts";

const schema = {
  type: "object",
  properties: {
    region: { type: "string", "x-mcp-header": "Region" },
    nested: { type: "object", properties: { count: { type: "integer", "x-mcp-header": "Count" } } },
    "x-mcp-header": { type: "string" },
  },
};

test("declared arguments become headers, absent ones do not", () => {
  const declared = declaredParamHeaders(schema) ?? [];
  expect([...paramHeaders(declared, { region: "eu", nested: { count: 3 } })]).toEqual([
    ["Region", "eu"],
    ["Count", "3"],
  ]);
  expect([...paramHeaders(declared, { nested: { count: null } })]).toEqual([]);
});

test.each([
  ["under items", { items: { properties: { a: { type: "string", "x-mcp-header": "A" } } } }],
  ["at the root", { "x-mcp-header": "A" }],
  ["on an object", { properties: { a: { type: "object", "x-mcp-header": "A" } } }],
  ["with a name that is no token", { properties: { a: { type: "string", "x-mcp-header": "A b" } } }],
  [
    "twice, but for case",
    {
      properties: { a: { type: "string", "x-mcp-header": "A" }, b: { type: "string", "x-mcp-header": "a" } },
    },
  ],
])("a declaration %s is invalid", (_, bad) => {
  expect(declaredParamHeaders(bad)).toBeUndefined();
});
