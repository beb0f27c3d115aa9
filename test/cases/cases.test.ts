import { basename } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createFilePins } from "../../src/catalog/pins.ts";
import { openPolicies } from "../../src/commands/layers.ts";
import { pinnedViews } from "../../src/golden/pinned.ts";
import { readCases } from "../../src/golden/read.ts";
import { type GoldenRunner, openGolden } from "../../src/golden/run.ts";
import { createToolchain } from "../../src/policy/toolchain.ts";
import { exampleConfig } from "../commands/world.ts";

const { cases, problems } = await readCases(import.meta.dirname);
let golden: GoldenRunner;
let close: () => void;

beforeAll(async () => {
  const config = await exampleConfig();
  const toolchain = createToolchain();
  const policies = await openPolicies(config, toolchain);
  await toolchain.close();
  const views = pinnedViews(config, createFilePins(config.pins.path).list());
  golden = await openGolden({ config, policies, views });
  close = () => policies.close();
});
afterAll(async () => {
  close();
  await golden.close();
});

test("every file here is a case, with a name of its own", () => {
  expect(problems).toEqual([]);
  expect(new Set(cases.map(({ golden: { name } }) => name)).size).toBe(cases.length);
});

test.each(cases.map(({ file, golden: given }) => [given.name, file, given] as const))(
  "%s",
  async (_, file, given) => {
    expect({ [basename(file)]: await golden.run(given) }).toEqual({ [basename(file)]: [] });
  },
);
