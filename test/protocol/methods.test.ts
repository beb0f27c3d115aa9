import * as v1 from "@modelcontextprotocol/sdk/types.js";
import { expect, test } from "vitest";
import { methodRow, methodTable } from "../../src/protocol/methods.ts";
import { serverMethodRow, serverMethodTable } from "../../src/protocol/server-methods.ts";

type Union = { readonly options: readonly unknown[] };

/** The method names that a union of the SDK's schemas knows. */
function methodsOf(union: Union): string[] {
  return union.options.map((option) => {
    const { shape } = option as { shape: { method: { value: string } } };
    return shape.method.value;
  });
}

test("every method that the SDK's legacy clients send has a row", () => {
  const sent = [...methodsOf(v1.ClientRequestSchema), ...methodsOf(v1.ClientNotificationSchema)];
  expect(sent.length).toBeGreaterThan(20);
  expect(sent.filter((method) => methodRow(method, "legacy") === undefined)).toEqual([]);
});

test("every method that the SDK's legacy servers send has a row", () => {
  const sent = [...methodsOf(v1.ServerRequestSchema), ...methodsOf(v1.ServerNotificationSchema)];
  // A client's tasks are made only by who asks for one, which the gateway never does.
  const ours = sent.filter((method) => !/^tasks\//.test(method));
  expect(ours.length).toBeGreaterThan(10);
  expect(ours.filter((method) => serverMethodRow(method) === undefined)).toEqual([]);
});

test("an era has its own methods alone", () => {
  const only = (era: "legacy" | "modern") =>
    methodTable()
      .filter(({ eras }) => eras.length === 1 && eras[0] === era)
      .map(({ method }) => method);
  expect(only("modern")).toEqual(["server/discover", "subscriptions/listen", "tasks/update"]);
  expect(only("legacy")).toContain("logging/setLevel");
  expect(methodRow("subscriptions/listen", "legacy")).toBeUndefined();
  expect(methodRow("resources/subscribe", "modern")).toBeUndefined();
  expect(methodRow("constructor", "legacy")).toBeUndefined();
  expect(serverMethodRow("toString")).toBeUndefined();
});

test("each row tells people what is rewritten and what is recorded", () => {
  for (const row of methodTable())
    expect([row.method, row.rewritten, row.recorded].every(Boolean)).toBe(true);
  for (const row of serverMethodTable())
    expect([row.method, row.rewritten, row.audience].every(Boolean)).toBe(true);
});

test("answers to questions may come only where the 2026-07-28 revision allows them", () => {
  const resumable = methodTable().filter((row) => row.resumable);
  expect(resumable.map(({ method }) => method)).toEqual(["tools/call", "resources/read", "prompts/get"]);
});
