import fc from "fast-check";
import { expect, test } from "vitest";
import type { JsonObject } from "../../src/lib/json.ts";
import { openCapability } from "../../src/policy/capability.ts";
import { compileSchema } from "../../src/policy/schema.ts";
import { passes, plainAjv, type World } from "./reference.ts";
import { args, singleGrantWorlds, withLikely, worlds } from "./worlds.ts";

// fast-check prints the seed and the path of a counterexample.

const nothingRequired = { hold: () => [], describe: () => undefined };
const numRuns = 700;
const manyArgs = fc.array(args, { minLength: 8, maxLength: 8 });

function open(world: World) {
  const result = compileSchema(world.schema);
  if (!result.ok) throw new Error(result.fault);
  return openCapability({ ...world, denials: [], faults: [] }, result.schema);
}

test("enforcement passes a value exactly when the pinned schema and the bounds of some grant under all limits pass it", () => {
  let passed = 0;
  let refused = 0;
  fc.assert(
    fc.property(worlds, manyArgs, (world, values) => {
      const capability = open(world);
      const pinned = plainAjv(world.schema);
      for (const value of withLikely(world, values)) {
        const met = world.grants.filter((grant) => passes(world, pinned, grant, value));
        const decision = capability.decide(value, nothingRequired);
        const allowed = decision.effect === "allow" || decision.code === "ambiguous_grant";
        expect(allowed, JSON.stringify({ value, decision })).toBe(met.length > 0);
        if (allowed) passed++;
        else refused++;
        if (decision.effect !== "allow") continue;
        expect(met).toContain(decision.grant);
        expect(decision.grant.rank).toBe(Math.min(...met.map((grant) => grant.rank)));
      }
    }),
    { numRuns },
  );
  expect(passed, "the worlds are too hostile to show anything").toBeGreaterThan(500);
  expect(refused).toBeGreaterThan(500);
});

test("the listed schema never forbids what enforcement allows", () => {
  let checked = 0;
  fc.assert(
    fc.property(worlds, manyArgs, (world, values) => {
      const capability = open(world);
      const allowed = withLikely(world, values).filter(
        (value) => capability.decide(value, nothingRequired).effect === "allow",
      );
      if (allowed.length === 0) return;
      expect(capability.listed).toBe(true);
      const { inputSchema } = capability.listing();
      const listed = plainAjv(inputSchema);
      for (const value of allowed) {
        checked++;
        expect(listed(value), JSON.stringify({ value, inputSchema })).toBe(true);
      }
    }),
    { numRuns },
  );
  expect(checked).toBeGreaterThan(500);
});

test("for a single grant the listed schema forbids all that enforcement refuses", () => {
  let forbidden = 0;
  let allowed = 0;
  fc.assert(
    fc.property(singleGrantWorlds, manyArgs, (world, values) => {
      const capability = open(world);
      if (!capability.listed) return;
      const { inputSchema } = capability.listing();
      const listed = plainAjv(inputSchema);
      for (const value of withLikely(world, values)) {
        const refused = capability.decide(value, nothingRequired).effect === "deny";
        if (refused) forbidden++;
        else allowed++;
        expect(listed(value), JSON.stringify({ value, inputSchema })).toBe(!refused);
      }
    }),
    { numRuns },
  );
  expect(Math.min(allowed, forbidden)).toBeGreaterThan(500);
});

test("what is forwarded is what the caller sent with the injected arguments, and nothing else", () => {
  fc.assert(
    fc.property(worlds, args, (world, value) => {
      const before = JSON.stringify(value);
      const decision = open(world).decide(value, nothingRequired);
      expect(JSON.stringify(value)).toBe(before);
      if (decision.effect !== "allow") return;
      const forwarded: JsonObject = decision.arguments;
      for (const name of Object.keys(value)) expect(forwarded[name]).toBe(value[name]);
      const parts = [decision.grant, ...world.limits];
      for (const name of Object.keys(forwarded).filter((key) => !Object.hasOwn(value, key))) {
        expect(parts.map((part) => part.arguments[name]?.set)).toContain(forwarded[name]);
      }
    }),
    { numRuns: 300 },
  );
});
