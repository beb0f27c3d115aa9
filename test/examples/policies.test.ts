import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { parse } from "yaml";
import { readPolicyFiles } from "../../src/policy/policy-files.ts";
import { createToolchain, type PolicySources } from "../../src/policy/toolchain.ts";

const ROOT = join(import.meta.dirname, "../..");
const COMPANY = "examples/acme-and-globex";
const tenantSchema = parse(readFileSync(join(ROOT, COMPANY, "tenant.schema.yaml"), "utf8"));
const toolchain = createToolchain();
afterAll(() => toolchain.close());

async function sourcesOf(...folders: string[]): Promise<PolicySources> {
  const files: Record<string, string> = {};
  for (const folder of folders) {
    const read = await readPolicyFiles(join(ROOT, folder));
    if (!read.ok) throw new Error(JSON.stringify(read.problems));
    for (const [path, text] of Object.entries(read.sources.files)) files[`${folder}/${path}`] = text;
  }
  return { files, data: {}, tenantSchema };
}

test.each([
  ["the worked examples", ["policies"]],
  ["the company's platform layer", [`${COMPANY}/policies`]],
  ["acme's own layer", [`${COMPANY}/tenants/acme/policies`]],
])("%s: checked without a finding, built, formatted, and every test passes", async (_, folders) => {
  const sources = await sourcesOf(...folders);
  expect(await toolchain.check(sources)).toEqual({ ok: true, problems: [] });
  expect(await toolchain.build(sources)).toMatchObject({ ok: true, policy: { warnings: [] } });
  expect(await toolchain.fmt(sources.files)).toEqual({ ok: true, changed: {} });
  const tested = await toolchain.test(sources, { coverage: true });
  if (!tested.ok) throw new Error(JSON.stringify(tested.problems));
  const { tests, coverage } = tested.report;
  expect(tests.filter(({ outcome }) => outcome !== "pass")).toEqual([]);
  expect(tests.length).toBeGreaterThan(3);
  expect(coverage?.percent).toBeGreaterThan(90);
});
