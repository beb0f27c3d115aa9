import { beforeAll, expect, test } from "vitest";
import { hasCode } from "../../src/credential/vault/faults.ts";
import { toPortcullisError } from "../../src/lib/errors.ts";
import { decision, principalOf } from "./support.ts";
import { aVaultStage, aVaultWorld, type VaultWorld } from "./vault-world.ts";

let world: VaultWorld;
beforeAll(async () => {
  world = await aVaultWorld({ durable: true });
  return () => world.close();
});
const brief = { source: "tickets", role: "brief", ttl: 3 };
const EXPECTED = [
  "vault_unreachable",
  "vault_sealed",
  "vault_standby",
  "vault_timeout",
  "vault_failed",
] as const;

test("sealed: new leases fail closed with its own code, those in use go on, and it is found back", async () => {
  const { credentials } = await aVaultStage(world);
  const reader = { source: "tickets", role: "reader" };
  const held = await credentials.obtain(reader, principalOf(), decision);
  await world.bao.seal();
  const bob = principalOf({ subject: "bob" });
  await expect(credentials.obtain(reader, bob, decision)).rejects.toMatchObject({ code: "vault_sealed" });
  expect(await credentials.obtain(reader, principalOf(), decision)).toBe(held);
  await world.bao.restart();
  const startedAt = Date.now();
  await expect
    .poll(() =>
      credentials.obtain(reader, bob, decision).then(
        () => "ok",
        ({ code }) => code,
      ),
    )
    .toBe("ok");
  expect(Date.now() - startedAt).toBeLessThan(10_000);
  await credentials.close();
  expect(await world.leases()).toEqual([]);
});

test("killed and sealed under load: nothing but its own codes, back within 10 s, and no lease left", async () => {
  const { credentials } = await aVaultStage(world);
  const outcomes = { ok: 0, failed: 0 };
  const strange: unknown[] = [];
  let running = true;
  const worker = async (index: number): Promise<void> => {
    for (let round = 0; running; round += 1) {
      const principal = principalOf({ subject: `user-${index}-${round % 5}` });
      try {
        const lease = await credentials.obtain(brief, principal, decision);
        outcomes.ok += 1;
        if (!lease.env?.get("PGPASSWORD")?.reveal()) strange.push("a lease without a secret");
        if (round % 3 === 0) await lease.revoke();
      } catch (thrown) {
        outcomes.failed += 1;
        if (!hasCode(thrown, ...EXPECTED)) strange.push(toPortcullisError(thrown).code);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  };
  const load = Array.from({ length: 12 }, (_, index) => worker(index));
  const served = async (more: number) => {
    const before = outcomes.ok;
    const startedAt = Date.now();
    await expect.poll(() => outcomes.ok - before, { interval: 20 }).toBeGreaterThan(more);
    return Date.now() - startedAt;
  };
  await served(50);
  await world.bao.kill();
  await world.bao.restart();
  expect(await served(20)).toBeLessThan(10_000);
  await world.bao.seal();
  await expect.poll(() => outcomes.failed, { interval: 20 }).toBeGreaterThan(0);
  await world.bao.restart();
  expect(await served(20)).toBeLessThan(10_000);
  running = false;
  await Promise.all(load);
  expect(strange).toEqual([]);
  expect(outcomes.failed).toBeGreaterThan(0);
  await credentials.close();
  // What was made while the server died, its answer lost, ends with its short time to live; where the server died in
  // the midst of ending it, at its own next attempt.
  await expect.poll(() => world.leases()).toEqual([]);
  // A server killed between making a role and writing down its lease forgets the role: nothing of ours names it, and it
  // ends by the date it was made with.
  await expect.poll(() => world.usableRoles()).toEqual([]);
});
