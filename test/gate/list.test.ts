import { expect, test } from "vitest";
import type { Target } from "../../src/domain.ts";
import { listedDefinition } from "../../src/gate/list.ts";
import type { JsonObject } from "../../src/lib/json.ts";
import type { OpenCapability } from "../../src/policy/capability.ts";

test("of a prompt's arguments are listed those that its caller may send, each required where it is for them", () => {
  const announced = [
    { name: "free", required: true },
    { name: "forced", extra: [1] },
    { name: "forbidden", required: true },
    { name: "constructor" },
  ];
  const target = {
    ...{ upstream: "crm", kind: "prompt", name: "brief", exposedName: "brief", inputSchema: {} },
    definition: new Map([
      ["name", '"brief"'],
      ["arguments", JSON.stringify(announced)],
    ]),
  } as unknown as Target;
  const inputSchema: JsonObject = {
    type: "object",
    properties: { free: {}, forced: { const: "x" }, forbidden: false },
    required: ["forced"],
  };
  const listing = { inputSchema, note: "", words: () => "" };
  const capability = { listing: () => listing } as unknown as OpenCapability;
  expect(JSON.parse(listedDefinition({ target, capability }, "legacy"))).toEqual({
    name: "brief",
    arguments: [
      { name: "free", required: false },
      { name: "forced", extra: [1], required: true },
    ],
  });
});
