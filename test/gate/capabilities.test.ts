import { expect, test } from "vitest";
import type { Capability, PolicyContext, Target } from "../../src/domain.ts";
import { createCapabilities } from "../../src/gate/capabilities.ts";
import { createSchemas } from "../../src/gate/schemas.ts";
import type { PolicyEngine } from "../../src/policy/engine.ts";

const target = {
  upstream: "crm",
  kind: "tool",
  name: "refund",
  exposedName: "refund",
  labels: [],
  announced: {},
  inputSchema: { type: "object" },
  definition: new Map(),
  digest: "refund",
} as unknown as Target;

test("what is kept of a policy that makes large capabilities every second is bounded in bytes", () => {
  let asked = 0;
  const said: Capability = { grants: [], limits: [], denials: ["x".repeat(1 << 20)], faults: [] };
  const engine = {
    revision: { platform: "p", tenant: "" },
    contextKey: ({ now }: PolicyContext) => String(now),
    capabilities() {
      asked += 1;
      return [said];
    },
  } as unknown as PolicyEngine;
  const { of } = createCapabilities(createSchemas(), 50_000);
  const at = (now: number) => of(engine, { tenant: { id: "acme" }, now } as PolicyContext, [target]);
  for (let now = 0; now < 300; now += 1) at(now);
  expect(asked).toBe(300);
  at(299);
  expect(asked).toBe(300);
  at(0);
  expect(asked).toBe(301);
});
