import { beforeAll, expect, test } from "vitest";
import { decision, principalOf } from "./support.ts";
import { aVaultStage, aVaultWorld, type VaultWorld } from "./vault-world.ts";

let world: VaultWorld;
beforeAll(async () => {
  world = await aVaultWorld();
  return () => world.close();
});

test("a token is ended once: with the last that hung on it, and not again at shutdown", async () => {
  const { credentials, events } = await aVaultStage(world);
  const before = (await world.bao.audit()).length;
  await credentials.obtain({ source: "search", ttl: 1 }, principalOf(), decision);
  await expect.poll(events).toEqual(["minted", "dropped"]);
  await credentials.obtain({ source: "mesh" }, principalOf({ subject: "bob" }), decision);
  await credentials.close();
  const asked = (await world.bao.audit()).slice(before).filter(({ type }) => type === "request");
  const ended = asked.filter(({ request }) => request.path === "auth/token/revoke-accessor");
  expect(ended).toHaveLength(2);
});
