import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createFilePins } from "../../src/catalog/pins.ts";
import { check } from "../../src/commands/check.ts";
import { evaluate } from "../../src/commands/eval.ts";
import { load } from "../../src/commands/load.ts";
import { test as testPolicies } from "../../src/commands/test.ts";
import type { Bound, Capability, Grant } from "../../src/domain.ts";
import { findIdentity } from "../../src/golden/identity.ts";
import { pinnedViews } from "../../src/golden/pinned.ts";
import type { Json, JsonObject } from "../../src/lib/json.ts";
import { type OpenCapability, openCapability } from "../../src/policy/capability.ts";
import { parseGrant } from "../../src/policy/answers.ts";
import { grantSchema } from "../../src/policy/output-schema.ts";
import { compileSchema } from "../../src/policy/schema.ts";
import { createToolchain } from "../../src/policy/toolchain.ts";
import { surroundings } from "../commands/world.ts";
import { type Block, codes, readPage, ROOT } from "./page.ts";

const page = readPage("policy.md");
const toolchain = createToolchain();
/** The example company, with the page's own policies and golden case in place of its platform's. */
const company = mkdtempSync(join(tmpdir(), "docs-policy-"));

beforeAll(() => {
  cpSync(join(ROOT, "examples/acme-and-globex"), company, {
    recursive: true,
    filter: (path) => !/\/(\.portcullis|policies\/[^/]+\.rego|policies\/lib)$/.test(path) || path.includes("tenants"),
  });
  for (const { info, text } of page.blocks("rego", "policies/money.rego").concat(page.blocks("rego", "policies/money_test.rego"), page.blocks("yaml"))) {
    const [, path = ""] = info;
    mkdirSync(join(company, path, ".."), { recursive: true });
    writeFileSync(join(company, path), text);
  }
});
afterAll(async () => {
  rmSync(company, { recursive: true });
  await toolchain.close();
});
