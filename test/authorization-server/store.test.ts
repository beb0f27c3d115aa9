import { expect, test } from "vitest";
import { createStore } from "../../src/authorization-server/store.ts";

test("a flood of one kind pushes out the least recently used of that kind only", async () => {
  const adapter = createStore(() => 0);
  const [clients, codes] = [adapter("Client"), adapter("AuthorizationCode")];
  await codes.upsert("a", {}, 60);
  await clients.upsert("kept", {});
  for (let n = 0; n < 1_500; n++) {
    await clients.find("kept");
    await clients.upsert(`flood-${n}`, {});
  }
  expect(await clients.find("kept")).toEqual({});
  expect([await clients.find("flood-0"), await clients.find("flood-1499")]).toEqual([undefined, {}]);
  expect(await codes.find("a")).toEqual({});
});

test("what has expired or was destroyed is gone, and a revoked grant takes all that it gave", async () => {
  let now = 0;
  const codes = createStore(() => now)("AuthorizationCode");
  await codes.upsert("a", { grantId: "g" }, 60);
  await codes.upsert("b", { grantId: "h" }, 120);
  await codes.upsert("c", {}, 120);
  await codes.destroy("c");
  expect(await codes.find("c")).toBeUndefined();
  now = 60_000;
  expect([await codes.find("a"), await codes.find("b")]).toEqual([undefined, { grantId: "h" }]);
  await codes.revokeByGrantId("h");
  expect(await codes.find("b")).toBeUndefined();
});
