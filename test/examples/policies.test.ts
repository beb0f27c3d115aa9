import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { readDocument } from "../../src/config/document.ts";
import type { JsonObject } from "../../src/lib/json.ts";
import { readPolicyFiles } from "../../src/policy/policy-files.ts";
import { createToolchain, type PolicySources } from "../../src/policy/toolchain.ts";

const ROOT = join(import.meta.dirname, "../..");
const COMPANY = "examples/acme-and-globex";
const SCHEMA = join(ROOT, COMPANY, "tenant.schema.yaml");
const tenantSchema = readDocument(readFileSync(SCHEMA, "utf8"), SCHEMA).value as JsonObject;
const toolchain = createToolchain();
afterAll(() => toolchain.close());

async function sourcesOf(...folders: string[]): Promise<PolicySources> {
  const files: Record<string, string> = {};
  for (const folder of folders) {
    const read = await readPolicyFiles(join(ROOT, folder), "platform");
    if (!read.ok) throw new Error(JSON.stringify(read.problems));
    for (const [path, text] of Object.entries(read.sources.files)) files[`${folder}/${path}`] = text;
  }
  return { files, data: {}, tenantSchema };
}

test.each([
  ["the worked examples", ["policies"], []],
  ["the company's platform layer", [`${COMPANY}/policies`], []],
  ["acme's own layer", [`${COMPANY}/tenants/acme/policies`], []],
  // It only narrows, which a platform layer could not do alone.
  ["globex's own layer", [`${COMPANY}/tenants/globex/policies`], ["nothing_granted"]],
])(
  "%s: checked, built, formatted, and every test passes",
  async (_, folders, warned) => {
    const sources = await sourcesOf(...folders);
    const built = await toolchain.build(sources);
    expect((built.ok ? built.policy.warnings : built.problems).map(({ code }) => code)).toEqual(warned);
    expect(await toolchain.fmt(sources.files)).toEqual({ ok: true, changed: {} });
    const tested = await toolchain.test(sources, { coverage: true });
    if (!tested.ok) throw new Error(JSON.stringify(tested.problems));
    const { tests, coverage } = tested.report;
    expect(tests.filter(({ outcome }) => outcome !== "pass")).toEqual([]);
    expect(tests.length).toBeGreaterThan(1);
    expect(coverage?.percent).toBeGreaterThan(90);
  },
  120_000,
);
