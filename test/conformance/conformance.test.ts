import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { parse } from "yaml";
import { openWorld } from "../e2e/world.ts";
import { ownPort } from "../support/port.ts";
import { score, serveEverything, withToken } from "./suite.ts";

/** Allows everything that there is, questions included. */
const ALLOW_ALL = `package authz

grant contains {
	"reason": "the conformance suite",
	"interaction": ["sampling", "elicitation", "roots"],
}
`;

interface Difference {
  readonly check: string;
  readonly directly: string;
  readonly guarded: string;
  /** Why it is as it should be. */
  readonly because: string;
}

const EXPECTED: Readonly<Record<string, readonly Difference[]>> = parse(
  readFileSync(join(import.meta.dirname, "expected-differences.yaml"), "utf8"),
);

for (const [revision, stateless] of [
  ["2025-11-25", false],
  ["2026-07-28", true],
] as const) {
  test(`behind the gateway a server scores what it scores by itself: ${revision}`, {
    timeout: 120_000,
  }, async () => {
    // One each: the suite changes what a server lists.
    const alone = await serveEverything(await ownPort(), { stateless });
    const upstream = await serveEverything(await ownPort(), { stateless });
    const port = await ownPort();
    const world = await openWorld({
      config: {
        upstreams: { everything: { url: upstream.url } },
        servers: { everything: { upstreams: ["everything"] } },
      },
      listen: { allowed_hosts: [`127.0.0.1:${port}`], allowed_origins: [`http://127.0.0.1:${port}`] },
      policies: ALLOW_ALL,
    });
    const guarded = await withToken(port, world.url("everything"), await world.token("ann", "everything"));
    try {
      const directly = await score(alone.url, revision);
      const through = await score(guarded.url, revision);
      const passed = [...directly.values()].filter((status) => status === "SUCCESS").length;
      expect(passed).toBeGreaterThan(60);
      const checks = [...new Set([...directly.keys(), ...through.keys()])].sort();
      const differences = checks
        .map((check) => ({
          check,
          directly: directly.get(check) ?? "absent",
          guarded: through.get(check) ?? "absent",
        }))
        .filter(({ directly, guarded }) => directly !== guarded);
      const expected = EXPECTED[revision] ?? [];
      expect(differences).toEqual(expected.map(({ because: _, ...difference }) => difference));
    } finally {
      await guarded.close();
      await world.close();
      await upstream.close();
      await alone.close();
    }
  });
}
