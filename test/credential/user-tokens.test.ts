import { beforeAll, expect, test } from "vitest";
import { endsByItself, type MintedLease } from "../../src/credential/source.ts";
import type { VaultWork } from "../../src/credential/vault/vault.ts";
import { event } from "../upstream/servers.ts";
import { decision, principalOf } from "./support.ts";
import { aVault, aVaultStage, aVaultWorld, type VaultWorld } from "./vault-world.ts";

let world: VaultWorld;
beforeAll(async () => {
  world = await aVaultWorld();
  return () => world.close();
});
const order = { ...decision, discard() {} };
const user = (index: number) => principalOf({ subject: `user-${index}` });
const nothing: MintedLease = { expires: 0, headers: new Map(), sha256: null, revoke: endsByItself };
const lookedUp = async ({ client, call }: VaultWork) => {
  await client.read("auth/token/lookup-self", call);
  return nothing;
};

test("a token is ended once: with the last that hung on it, and not again at shutdown", async () => {
  const { credentials, events } = await aVaultStage(world);
  const before = (await world.bao.audit()).length;
  await credentials.obtain({ source: "search", ttl: 1 }, principalOf(), decision);
  await expect.poll(events).toEqual(["minted", "dropped"]);
  await credentials.obtain({ source: "mesh" }, user(1), decision);
  await credentials.close();
  const asked = (await world.bao.audit()).slice(before).filter(({ type }) => type === "request");
  const ended = asked.filter(({ request }) => request.path === "auth/token/revoke-accessor");
  expect(ended).toHaveLength(2);
});

test("nobody who still waits at shutdown is logged in for: nobody would end the token", async () => {
  const vault = await aVault(world);
  const { promise: released, resolve: release } = event();
  const held = async () => {
    await released;
    return nothing;
  };
  // All that one tenant may ask at once, and more.
  const asked = Array.from({ length: 16 }, (_, index) => vault.obtain(user(index), order, held));
  await expect.poll(() => world.tokens()).toMatchObject({ users: 8 });
  const closing = vault.close();
  release();
  const outcomes = await Promise.allSettled(asked);
  await closing;
  expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(8);
  expect(await world.tokens()).toEqual({ users: 0, own: 0 });
});

test("a token is not ended under who begins to work with it, whenever its last holder lets go", async () => {
  const vault = await aVault(world);
  for (let turns = 0; turns < 12; turns += 1) {
    let letGo = async () => {};
    await vault.obtain(user(turns), order, async ({ user }) => {
      letGo = user.hold(() => {});
      return nothing;
    });
    let works = 0;
    const asked = vault.obtain(user(turns), order, async (given) => {
      works += 1;
      await ended;
      return lookedUp(given);
    });
    const ended = (async () => {
      for (let turn = 0; turn < turns; turn += 1) await Promise.resolve();
      await letGo();
    })();
    await asked;
    expect([turns, works]).toEqual([turns, 1]);
  }
});

test("what was obtained with a token that had been ended by then is obtained anew", async () => {
  const vault = await aVault(world);
  const { promise: released, resolve: release } = event();
  const tokens: unknown[] = [];
  const slow = vault.obtain(principalOf(), order, async (given) => {
    tokens.push(given.user.token);
    const minted = await lookedUp(given);
    await released;
    given.user.hold(() => {});
    return minted;
  });
  await expect.poll(() => tokens).toHaveLength(1);
  await world.endUserTokens();
  await vault.obtain(principalOf(), order, lookedUp);
  release();
  await slow;
  expect(tokens).toHaveLength(2);
});
