import { expect, test } from "vitest";
import { createInFlight } from "../../src/protocol/in-flight.ts";

test('an id is free again only when its request has ended; 1 and "1" are two ids', () => {
  const requests = createInFlight();
  requests.begin(1, () => {});
  requests.begin("1", () => {});
  expect(() => requests.begin(1, () => {})).toThrow(expect.objectContaining({ code: "id_in_use" }));
  requests.end(1);
  requests.begin(1, () => {});
  expect(requests.size).toBe(2);
});

test("a cancel reaches its request alone", () => {
  const requests = createInFlight();
  const cancelled: string[] = [];
  requests.begin("a", () => cancelled.push("a"));
  requests.begin("b", () => cancelled.push("b"));
  expect(requests.cancel("a")).toBe(true);
  expect(requests.cancel("c")).toBe(false);
  expect(cancelled).toEqual(["a"]);
});

test("what begins when all was aborted is aborted", () => {
  const requests = createInFlight();
  const aborted: string[] = [];
  requests.begin("a", () => aborted.push("a"));
  requests.abortAll();
  requests.begin("b", () => aborted.push("b"));
  expect(aborted).toEqual(["a", "b"]);
});
