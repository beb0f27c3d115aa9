import { expect, test } from "vitest";
import { createSay } from "../../src/gate/say.ts";
import { event } from "../upstream/servers.ts";

test("what is told faster than it can be remembered takes 4 MiB: notifications are lost, and no answer is", async () => {
  const { promise: released, resolve: release } = event();
  const sent: string[] = [];
  const say = createSay({ send: async (text) => void sent.push(text) }, async () => void (await released));
  for (let at = 0; at < 8192; at += 1) void say(`${at} ${"x".repeat(1019)}`, "notification");
  void say("a question");
  const told = say("lost", "notification");
  release();
  await told;
  expect(sent.length).toBeLessThan(4200);
  expect(sent.length).toBeGreaterThan(4000);
  expect(sent.at(-1)).toBe("a question");
  expect(sent.slice(0, -1).map((text) => Number.parseInt(text, 10))).toEqual([...sent.keys()].slice(0, -1));
  void say("heard again", "notification");
  await say("the answer");
  expect(sent.slice(-2)).toEqual(["heard again", "the answer"]);
});
