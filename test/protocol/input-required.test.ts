import { isInputRequiredResult } from "@modelcontextprotocol/server";
import { describe, expect, test } from "vitest";
import { inputRequiredResult, readInputRequired } from "../../src/protocol/input-required.ts";
import { META } from "../../src/protocol/versions.ts";

const params =
  '{"message":"Sure?","n":12345678901234567890,"requestedSchema":{"type":"object","properties":{}}}';
const malformed = expect.objectContaining({ code: "upstream_protocol" });
const asking = (requests: string, state = '"s"') =>
  `{"resultType":"input_required","inputRequests":${requests},"requestState":${state}}`;

test("what is asked is read with each question as the bytes it came in", () => {
  const read = readInputRequired(
    asking(`{"a":{"method":"elicitation/create","params":${params}},"b":{"method":"roots/list"}}`),
  );
  expect([...(read?.requests ?? [])]).toEqual([
    ["a", { kind: "elicitation", method: "elicitation/create", params }],
    ["b", { kind: "roots", method: "roots/list", params: "{}" }],
  ]);
  expect(read?.requestState).toBe("s");
});

test("a complete result, a task, or a legacy one asks nothing", () => {
  for (const text of ['{"resultType":"complete"}', '{"content":[]}', '{"resultType":"task","taskId":"t"}'])
    expect(readInputRequired(text)).toBeUndefined();
});

test("a state alone asks the client to come again", () => {
  expect(readInputRequired('{"resultType":"input_required","requestState":"s"}')).toEqual({
    requests: new Map(),
    requestState: "s",
  });
});

describe("what cannot be answered is no MCP", () => {
  const many = `{${Array.from({ length: 33 }, (_, i) => `"k${i}":{"method":"roots/list"}`).join()}}`;
  test.each([
    ["nothing at all", '{"resultType":"input_required"}'],
    ["a method that no client serves", asking('{"a":{"method":"tools/call","params":{}}}')],
    ["a notification", asking('{"a":{"method":"notifications/message","params":{}}}')],
    ["a method of an object's own", asking('{"a":{"method":"constructor"}}')],
    ["no method", asking('{"a":{}}')],
    ["a question that is no object", asking('{"a":[]}')],
    ["params that are no object", asking('{"a":{"method":"roots/list","params":[1]}}')],
    ["a key twice", asking('{"a":{"method":"roots/list"},"a":{"method":"elicitation/create"}}')],
    ["too much at once", asking(many)],
    ["an endless key", asking(`{"${"k".repeat(257)}":{"method":"roots/list"}}`)],
    ["a state that is no string", asking('{"a":{"method":"roots/list"}}', "{}")],
    ["an endless state", asking("{}", `"${"s".repeat(70_000)}"`)],
  ])("%s", (_, text) => {
    expect(() => readInputRequired(text)).toThrow(malformed);
  });
});

test("our own question is one that the SDK's clients know, and reads back as it was", () => {
  const requests = new Map([
    ["question-1", { kind: "elicitation", method: "elicitation/create", params } as const],
  ]);
  const text = inputRequiredResult(requests, "sealed", { name: "support", version: "1" });
  expect(text).toContain(params);
  expect(isInputRequiredResult(JSON.parse(text))).toBe(true);
  expect(JSON.parse(text)._meta).toEqual({ [META.serverInfo]: { name: "support", version: "1" } });
  expect(readInputRequired(text)).toEqual({ requests, requestState: "sealed" });
  expect(inputRequiredResult(new Map(), "s")).toBe('{"requestState":"s","resultType":"input_required"}');
});
