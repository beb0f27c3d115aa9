import { expect, test } from "vitest";
import type { Era } from "../../src/domain.ts";
import type { JsonObject } from "../../src/lib/json.ts";
import { mergeCapabilities, type Relayed } from "../../src/protocol/capabilities.ts";
import { TASKS_EXTENSION } from "../../src/protocol/tasks.ts";

const ALL: ReadonlySet<Relayed> = new Set([
  "tools",
  "resources",
  "prompts",
  "completions",
  "logging",
  "tasks",
  "extensions",
]);
const upstream = (era: Era, capabilities: JsonObject) => ({ era, capabilities });
const TASKS = { list: {}, cancel: {}, requests: { tools: { call: {} } } };

test("a virtual server can do what any of its upstreams can, as far as it is relayed", () => {
  const upstreams = [
    upstream("legacy", { tools: {}, resources: { subscribe: true }, logging: {} }),
    upstream("modern", { prompts: { listChanged: true }, completions: {}, resources: {} }),
  ];
  expect(mergeCapabilities(upstreams, { era: "legacy", relayed: ALL })).toEqual({
    tools: { listChanged: true },
    resources: { listChanged: true, subscribe: true },
    prompts: { listChanged: true },
    completions: {},
    logging: {},
  });
  expect(mergeCapabilities(upstreams, { era: "modern", relayed: new Set(["tools"]) })).toEqual({
    tools: { listChanged: true },
  });
});

test("what no upstream has, what is unknown, experimental or malformed is not promised", () => {
  const only = upstream("legacy", {
    tools: { listChanged: false, odd: 1 },
    resources: { subscribe: "yes" },
    prompts: true,
    experimental: { x: {} },
    billing: {},
    extensions: [],
    tasks: { list: {} },
  });
  expect(mergeCapabilities([only], { era: "legacy", relayed: ALL })).toEqual({
    tools: { listChanged: true },
    resources: { listChanged: true },
  });
  expect(mergeCapabilities([], { era: "modern", relayed: ALL })).toEqual({});
});

test("tasks are promised in the era alone that they are made in", () => {
  const both = [
    upstream("legacy", { tools: {}, tasks: TASKS }),
    upstream("modern", { tools: {}, extensions: { [TASKS_EXTENSION]: {}, "io.example/a": { v: 1 } } }),
  ];
  expect(mergeCapabilities(both, { era: "legacy", relayed: ALL })).toEqual({
    tools: { listChanged: true },
    tasks: TASKS,
    extensions: { "io.example/a": { v: 1 } },
  });
  expect(mergeCapabilities(both, { era: "modern", relayed: ALL })).toEqual({
    tools: { listChanged: true },
    extensions: { [TASKS_EXTENSION]: {}, "io.example/a": { v: 1 } },
  });
  const without = new Set([...ALL].filter((one) => one !== "tasks"));
  expect(mergeCapabilities(both, { era: "modern", relayed: without })).not.toHaveProperty([
    "extensions",
    TASKS_EXTENSION,
  ]);
});

test("an extension is told as the first upstream that has it says", () => {
  const merged = mergeCapabilities(
    [
      upstream("modern", { extensions: { x: { v: 1 } } }),
      upstream("modern", { extensions: { x: { v: 2 }, y: {} } }),
    ],
    { era: "modern", relayed: ALL },
  );
  expect(merged).toEqual({ extensions: { x: { v: 1 }, y: {} } });
});
