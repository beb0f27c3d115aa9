import { randomBytes } from "node:crypto";
import { expect, test } from "vitest";
import { plainPrincipal } from "../../src/lib/principal.ts";
import { createSeal } from "../../src/lib/seal.ts";
import { createRegister } from "../../src/runs/register.ts";
import type { Run } from "../../src/runs/run.ts";
import { createMemoryStore } from "../../src/store/memory.ts";
import { closing } from "./world.ts";

function runOf(id: string, subject: string, tenant = "acme"): Run {
  const principal = plainPrincipal({ kind: "user", issuer: "https://idp.example", subject, tenant });
  return {
    id,
    principal,
    description: "",
    created: 1,
    expires: 600,
    servers: ["support"],
    targets: null,
    accounts: null,
  };
}

test("a tenant has only so many runs, another's do not count, and who is refused for them takes no place", async () => {
  const clock = () => 1000;
  const store = closing(createMemoryStore({ clock }), (one) => one.close());
  const register = createRegister({
    store,
    seal: createSeal(randomBytes(32)),
    limits: { per_user: 2 },
    clock,
  });
  const others = Array.from({ length: 10_000 }, (_, at) => runOf(`r${at}`, `user ${at}`));
  for (const run of others) await register.reserve(run);
  for (const id of ["a", "b", "c"])
    await expect(register.reserve(runOf(id, "ann"))).rejects.toMatchObject({ code: "too_many_runs" });
  await register.reserve(runOf("d", "ann", "globex"));
  for (const run of others.slice(0, 2)) await register.remove(run);
  for (const id of ["e", "f"]) await register.reserve(runOf(id, "ann"));
});

test("a run's text opens under its own id alone, until it ends, and with this gateway's key", async () => {
  let now = 1000;
  const clock = () => now;
  const store = closing(createMemoryStore({ clock }), (one) => one.close());
  const parts = { store, limits: { per_user: 2 }, clock };
  const register = createRegister({ ...parts, seal: createSeal(randomBytes(32)) });
  const run = runOf("a", "ann");
  await register.put(run);
  const text = (await register.text("a")) ?? "";
  expect(register.open("a", text)).toEqual(run);
  expect(register.open("b", text)).toBeUndefined();
  expect(createRegister({ ...parts, seal: createSeal(randomBytes(32)) }).open("a", text)).toBeUndefined();
  now = run.expires * 1000;
  expect(register.open("a", text)).toBeUndefined();
});
