import { expect, test } from "vitest";
import { silentLog } from "../../src/lib/log.ts";
import { plainPrincipal } from "../../src/lib/principal.ts";
import { createLiveRuns } from "../../src/runs/live.ts";
import type { Register } from "../../src/runs/register.ts";
import type { Run } from "../../src/runs/run.ts";
import { closing } from "./world.ts";

const principal = plainPrincipal({ kind: "user", issuer: "https://idp", subject: "ann", tenant: "acme" });
const RUN: Run = {
  ...{ id: "a", principal, description: "", created: 1, expires: 600 },
  ...{ servers: ["support"], targets: null, accounts: null },
};

test.each([
  ["is gone", undefined],
  ["is another's text by now", "forged"],
])("a run that is known here is over as soon as what the store holds of it %s", async (_, later) => {
  let text: string | undefined = "sealed";
  const register = {
    text: async () => text,
    open: (_id: string, found: string) => (found === "sealed" ? RUN : undefined),
  } as unknown as Register;
  const clock = () => 2000;
  const live = closing(createLiveRuns({ register, clock, log: silentLog, sweepMs: 60_000 }), (one) =>
    one.close(),
  );
  const ended: string[] = [];
  live.onEnd((id, why) => void ended.push(`${id} ${why}`));
  const first = await live.look("a");
  expect((await live.look("a"))?.bearer).toBe(first?.bearer);
  expect(live.known("a")).toBe(RUN);
  text = later;
  expect(await live.look("a")).toBeUndefined();
  expect([live.known("a"), ended]).toEqual([undefined, ["a ended"]]);
});
