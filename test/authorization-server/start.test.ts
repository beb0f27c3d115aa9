import { expect, test, vi } from "vitest";
import { cpuClock } from "../support/cpu.ts";
import { aClient } from "./oauth.ts";
import { aWorld } from "./world.ts";

// A file of its own: the provider is loaded, and would print its notices, once per process.
test("it is there at once and prints nothing", async () => {
  const printed = (["log", "info", "warn", "error"] as const).map((name) => vi.spyOn(console, name));
  const cost = cpuClock();
  const world = await aWorld();
  await world.authorizationServer.mint({ subject: "ann", resource: world.url, scopes: ["mcp"] });
  expect(cost()).toBeLessThan(300);
  const client = await aClient(world);
  await client.redeem((await client.authorize("ann")).answer.code ?? "");
  for (const spy of printed) expect(spy).not.toHaveBeenCalled();
});
