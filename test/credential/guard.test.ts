import { expect, test } from "vitest";
import { createGuard } from "../../src/credential/vault/guard.ts";
import { PortcullisError } from "../../src/lib/errors.ts";
import { handClock } from "./support.ts";

const done = async () => "done";
const failing = (code: "vault_quota" | "vault_sealed" | "vault_denied" | "vault_timeout") => async () => {
  throw new PortcullisError(code, { data: { retry_after: 5 } });
};

test("a tenant that Vault asked to wait asks for nothing new until then; what it holds is still renewed and ended", async () => {
  const clock = handClock();
  const guard = createGuard(clock);
  let asked = 0;
  const mint = (tenant: string) =>
    guard.run(tenant, "mint", async () => {
      asked += 1;
    });
  await expect(guard.run("acme", "mint", failing("vault_quota"))).rejects.toThrow();
  clock.advance(4);
  await expect(mint("acme")).rejects.toMatchObject({ code: "vault_quota", data: { retry_after: 1 } });
  expect(asked).toBe(0);
  expect(await guard.run("acme", "manage", done)).toBe("done");
  await mint("globex");
  clock.advance(1);
  await mint("acme");
  expect(asked).toBe(2);
});

test("a tenant whose requests all hang holds up neither another's nor the ending of its own", async () => {
  const guard = createGuard(handClock());
  const hang = () => new Promise<never>(() => {});
  for (let at = 0; at < 8; at += 1) void guard.run("acme", "mint", hang);
  const waiting = guard.run("acme", "mint", done);
  expect(await guard.run("acme", "manage", done)).toBe("done");
  expect(await guard.run("globex", "mint", done)).toBe("done");
  expect(await Promise.race([waiting, "waiting"])).toBe("waiting");
});

test("past 2,000 that wait, a tenant's next request is refused, and what must be ended still is not", async () => {
  const guard = createGuard(handClock());
  const hang = () => new Promise<never>(() => {});
  for (let at = 0; at < 2008; at += 1) guard.run("acme", "mint", hang).catch(() => {});
  await expect(guard.run("acme", "mint", done)).rejects.toMatchObject({ code: "overloaded" });
  expect(await guard.run("globex", "mint", done)).toBe("done");
});

test("a server that failed three times is left alone for a moment; a refusal, or silence, is no such failure", async () => {
  const clock = handClock();
  const guard = createGuard(clock);
  const ask = (work: () => Promise<unknown>) =>
    guard.run("acme", "mint", work).then(
      () => "done",
      ({ code }) => code,
    );
  const sealed = failing("vault_sealed");
  // An answer, if only a refusal, shows that the server works.
  for (const work of [sealed, sealed, failing("vault_denied"), sealed, sealed]) await ask(work);
  expect(await ask(done)).toBe("done");
  // That nothing came in time does not.
  for (const work of [sealed, sealed, failing("vault_timeout"), sealed]) await ask(work);
  expect(await ask(done)).toBe("vault_sealed");
  clock.advance(1);
  expect(await ask(done)).toBe("done");
  expect(await ask(done)).toBe("done");
});
