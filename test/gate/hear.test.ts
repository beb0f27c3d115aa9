import { expect, test } from "vitest";
import type { Era } from "../../src/domain.ts";
import { type Hearing, heard } from "../../src/gate/hear.ts";
import type { Rooms } from "../../src/gate/rooms.ts";

const message = (listed: boolean, method: string, era: Era = "legacy") => {
  const view = { own: () => ({}) };
  const hearing = { deciding: {}, view, upstream: "crm", era, logLevel: "debug" } as unknown as Hearing;
  const rooms = { capabilities: { of: () => [{ listed }] } } as unknown as Pick<Rooms, "capabilities">;
  return heard(hearing, rooms, `notifications/${method}`, '{"level":"error"}');
};

test.each(["message", "elicitation/complete"])(
  "%s is for who may hear the server speak of itself",
  (method) => {
    expect(message(true, method)).toBe('{"level":"error"}');
    expect(message(false, method)).toBeUndefined();
  },
);

test("the end of a page is told to a legacy client, and what nobody here knows to none", () => {
  expect(message(true, "elicitation/complete", "modern")).toBeUndefined();
  expect(message(true, "something/new")).toBeUndefined();
});
