import { beforeAll, expect, test } from "vitest";
import { openVaultKeeper } from "../../src/credential/vault/keeper.ts";
import { systemClock } from "../../src/lib/clock.ts";
import { aVaultWorld, type VaultWorld } from "./vault-world.ts";

let world: VaultWorld;
beforeAll(async () => {
  world = await aVaultWorld();
  await world.bao.set("sys/mounts/transit", { type: "transit" });
  const { body } = await world.bao.ask("GET", "sys/policies/acl/gateway");
  const policy = `${body.data.policy}
path "transit/keys/*" { capabilities = ["create", "update", "delete"] }
path "transit/encrypt/*" { capabilities = ["update"] }`;
  await world.bao.set("sys/policies/acl/gateway", { policy });
  return () => world.close();
});

test("the gateway itself makes, uses and destroys a tenant's key, and ends its token when it stops", async () => {
  const keeper = await openVaultKeeper(world.config, systemClock);
  const plaintext = Buffer.from("hunter2").toString("base64");
  const context = Buffer.from("acme").toString("base64");
  await keeper.write("transit/keys/tenant-acme", { type: "aes256-gcm96", derived: true });
  const sealed = await keeper.write("transit/encrypt/tenant-acme", { plaintext, context });
  expect(sealed?.ciphertext).toMatch(/^vault:v1:/);
  await keeper.write("transit/keys/tenant-acme/config", { deletion_allowed: true });
  await keeper.delete("transit/keys/tenant-acme");
  expect((await world.bao.ask("GET", "transit/keys/tenant-acme")).status).toBe(404);
  expect(await keeper.write("transit/keys/tenant-none/config", { deletion_allowed: true })).toBeNull();
  expect(await world.tokens()).toEqual({ users: 0, own: 1 });
  await keeper.close();
  expect(await world.tokens()).toEqual({ users: 0, own: 0 });
});
