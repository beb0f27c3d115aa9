import { expect, test } from "vitest";
import { readTask, taskIdOf } from "../../src/protocol/tasks.ts";

const legacy = '{"task":{"taskId":"up-1","status":"working","ttl":12345678901234567890},"_meta":{"k":1.0}}';
const modern = '{"resultType":"task","taskId":"up-1","status":"working","ttlMs":12345678901234567890}';

test("a result that became a task is known by its era's own form", () => {
  expect(readTask(legacy, "legacy")).toBe("up-1");
  expect(readTask(modern, "modern")).toBe("up-1");
  expect(readTask(modern, "legacy")).toBeUndefined();
  expect(readTask(legacy, "modern")).toBeUndefined();
  expect(readTask('{"content":[],"task":{"taskId":"mine"}}', "legacy")).toBeUndefined();
});

test("a task without an id cannot be followed", () => {
  const malformed = expect.objectContaining({ code: "upstream_protocol" });
  for (const text of ['{"task":{}}', '{"task":[]}', '{"task":{"taskId":""}}', '{"task":{"taskId":1}}'])
    expect(() => readTask(text, "legacy")).toThrow(malformed);
  expect(() => readTask(`{"resultType":"task","taskId":"${"t".repeat(2000)}"}`, "modern")).toThrow(malformed);
  expect(() => taskIdOf("{}")).toThrow(malformed);
});
