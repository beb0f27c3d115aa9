import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createFilePins } from "../../src/catalog/pins.ts";
import { check } from "../../src/commands/check.ts";
import { evaluate } from "../../src/commands/eval.ts";
import { runLayer } from "../../src/commands/layer-run.ts";
import { openPolicies } from "../../src/commands/layers.ts";
import { problemLines } from "../../src/commands/load.ts";
import { test as testPolicies } from "../../src/commands/test.ts";
import { load } from "../../src/compose/load.ts";
import { readDocument } from "../../src/config/document.ts";
import type { Bound } from "../../src/domain.ts";
import { findIdentity } from "../../src/golden/identity.ts";
import { pinnedViews } from "../../src/golden/pinned.ts";
import type { Json, JsonObject } from "../../src/lib/json.ts";
import { parseGrant } from "../../src/policy/answers.ts";
import { openCapability } from "../../src/policy/capability.ts";
import { grantSchema } from "../../src/policy/output-schema.ts";
import { compileSchema } from "../../src/policy/schema.ts";
import { createToolchain } from "../../src/policy/toolchain.ts";
import { surroundings } from "../commands/world.ts";
import { codes, ROOT, readPage } from "./page.ts";

const page = readPage("policy.md");
const toolchain = createToolchain();
/** The example company, with the page's own policies and golden case in place of its platform's. */
const company = mkdtempSync(join(tmpdir(), "docs-policy-"));
const tenantSchema = JSON.parse(
  JSON.stringify(yaml(join(ROOT, "examples/acme-and-globex/tenant.schema.yaml"))),
);

beforeAll(() => {
  const example = join(ROOT, "examples/acme-and-globex");
  const left = [join(example, "policies"), join(example, ".portcullis")];
  cpSync(example, company, { recursive: true, filter: (path) => !left.includes(path) });
  const files = [...page.blocks("rego"), ...page.blocks("yaml")].filter(({ info: [, path = ""] }) =>
    path.includes("/"),
  );
  for (const { info, text } of files) {
    const path = join(company, info[1] ?? "");
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
  }
});
afterAll(async () => {
  rmSync(company, { recursive: true });
  await toolchain.close();
});

function yaml(path: string): unknown {
  return readDocument(readFileSync(path, "utf8"), path).value;
}

function asFile(source: string): string {
  return /^package /m.test(source) ? source : `package authz\n\n${source}`;
}

const OF_FRAGMENTS = ["nothing_granted", "requirement_unused", "requirement_untitled"];

/** What the toolchain says of one file; a page's fragments need not grant, require, nor title, anything. */
async function problemsOf(source: string) {
  const files = { "policies/money.rego": asFile(source) };
  const built = await toolchain.build({ files, data: {}, tenantSchema });
  const problems = built.ok ? built.policy.warnings : built.problems;
  return problems.filter(({ code }) => !OF_FRAGMENTS.includes(code));
}

test("every Rego block is accepted as it stands", async () => {
  const fragments = page.blocks("rego").filter(({ info }) => info.length === 1);
  expect(fragments.length).toBeGreaterThan(0);
  for (const { text } of fragments) {
    const built = await toolchain.build({ files: { "a.rego": asFile(text) }, data: {}, tenantSchema });
    expect(built.ok ? [] : built.problems).toEqual([]);
  }
});

test("the Rego on the page is formatted", async () => {
  const files = page.blocks("rego").map(({ text }, at) => [`${at}.rego`, asFile(text)] as const);
  expect(await toolchain.fmt(Object.fromEntries(files))).toEqual({ ok: true, changed: {} });
});

test("a refused block gives exactly what is printed below it", async () => {
  const refused = page.blocks("rego", "refused");
  const printed = page.blocks("text", "printed");
  expect(printed).toHaveLength(refused.length);
  for (const [at, { text }] of refused.entries())
    expect(problemLines(await problemsOf(text), "/")).toBe(printed[at]?.text);
});

test("a test that the module decides otherwise fails as it is printed below it", async () => {
  const [differs] = page.blocks("rego", "differs");
  const [policy] = page.blocks("rego", "policies/money.rego");
  const files = { "money.rego": policy?.text ?? "", "roles_test.rego": differs?.text ?? "" };
  const sources = { files, data: {}, tenantSchema };
  const layer = { name: "platform", directory: "/policies", sources, tenant: null };
  const { failures } = await runLayer(layer, toolchain, 0);
  expect(problemLines(failures, "/")).toBe(page.blocks("text", "differs")[0]?.text);
});

const mends = page.table("Code", "Refused", "Write instead");

test.each(mends)("%s is refused, and what to write instead is not", async (code, refused, instead) => {
  const found = await problemsOf(codes(refused).join("\n"));
  expect([...new Set(found.map((one) => one.code))]).toEqual(codes(code));
  expect(await problemsOf(codes(instead).join("\n"))).toEqual([]);
});

test("every code of the contract is on the page", () => {
  const toolchainFiles = readdirSync(join(ROOT, "toolchain")).filter((name) => name.endsWith(".go"));
  const go = toolchainFiles.map((name) => readFileSync(join(ROOT, "toolchain", name), "utf8")).join("\n");
  const own = Array.from(
    go.matchAll(/(?:(?:refuse|warn|judge)\([^"\n]*,\s*|language\{)"([a-z_]+)"/g),
    ([, code]) => code,
  );
  const findings = readFileSync(join(ROOT, "src/commands/credential-findings.ts"), "utf8");
  const config = Array.from(findings.matchAll(/"((?:credential|upstream)_[a-z_]+)"/g), ([, code]) => code);
  expect(own).toContain("arguments_in_capability");
  expect(config).toContain("credential_unknown");
  const refusals = new Set([...own, ...config].filter((code) => code !== "toolchain_failed"));
  expect([...refusals].filter((code) => !page.text.includes(`\`${code}\``))).toEqual([]);
  const listed = mends.flatMap(([code]) => codes(code));
  expect(listed.filter((code) => !refusals.has(code))).toEqual([]);
});

const bounds = page.table("Bound", "Lets through", "Refuses");

test.each(bounds)("the bound %s lets through %s and refuses %s", (written, lets, refuses) => {
  const bound = JSON.parse(codes(written)[0] ?? "") as Bound;
  const tried = (value: string): string => decide(bound, value === "absent" ? {} : { x: JSON.parse(value) });
  expect(codes(lets).map(tried)).toEqual(codes(lets).map(() => "allow"));
  expect(codes(refuses).map(tried)).toEqual(codes(refuses).map(() => "argument_out_of_bounds"));
});

test("every bound has a row", () => {
  const { $defs } = grantSchema() as { readonly $defs: { readonly bound: { readonly properties: object } } };
  const known = Object.keys($defs.bound.properties);
  const shown = new Set(bounds.flatMap(([written]) => Object.keys(JSON.parse(codes(written)[0] ?? ""))));
  expect([...shown].sort()).toEqual(known.sort());
});

function decide(bound: Bound, args: JsonObject): string {
  const compiled = compileSchema({ type: "object", properties: { x: { properties: { to: {}, cc: {} } } } });
  const parsed = parseGrant({ reason: "r", arguments: { x: bound as unknown as Json } }, "platform");
  if (!compiled.ok || !parsed.ok) throw new Error(JSON.stringify([compiled, parsed]));
  const capability = { grants: [parsed.value], limits: [], denials: [], faults: [] };
  const decision = openCapability(capability, compiled.schema).decide(args, NONE);
  return decision.effect === "allow" ? "allow" : decision.code;
}

const NONE = { hold: () => [], describe: () => undefined };

async function refundOf(user: string) {
  const { around } = surroundings(company);
  const loaded = await load({ config: "portcullis.yaml" }, around, { secrets: false });
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
  const { config } = loaded;
  const policies = await openPolicies(config, toolchain);
  const { principal, tenant } = await findIdentity(config, { user }, 0);
  const { targets = [] } = pinnedViews(config, createFilePins(config.pins.path).list()).get("support") ?? {};
  const target = targets.find(({ name }) => name === "refund");
  const schema = compileSchema(target?.inputSchema ?? {});
  if (target === undefined || !schema.ok) throw new Error("no refund");
  const [capability] = policies
    .current(tenant.id)
    .capabilities({ principal, tenant, server: "support", now: 0 }, [target]);
  policies.close();
  return openCapability(
    capability ?? { grants: [], limits: [], denials: [], faults: [] },
    schema.schema,
  ).listing();
}

test.each(["ann", "bob"])("%s is shown the schema on the page", async (user) => {
  const { inputSchema, note } = await refundOf(user);
  const [listed] = page.blocks("json", "listed", user);
  expect((inputSchema as { properties: JsonObject }).properties.amount).toEqual(
    JSON.parse(listed?.text ?? ""),
  );
  const [told] = page.blocks("text", "note", user);
  expect(note).toBe(told === undefined ? "" : told.text.trim().replaceAll("\n", " "));
});

const VERBS = { check, test: testPolicies, eval: evaluate };

test("every command prints what the page says it prints", async () => {
  const consoles = page.blocks("console");
  expect(consoles.length).toBeGreaterThan(0);
  for (const { text } of consoles) {
    const [line = "", ...output] = text.split("\n");
    const [verb = "", ...words] = line.replace("$ portcullis ", "").split(" ");
    const { around, printed } = surroundings(company);
    await VERBS[verb as keyof typeof VERBS](
      { config: "portcullis.yaml", arguments: [], ...optionsOf(words) },
      around,
    );
    expect(printed).toEqual({ out: output.join("\n"), err: "" });
  }
});

/** `--user ann --coverage` as commander would give it. */
function optionsOf(words: readonly string[]): Readonly<Record<string, string | true>> {
  const options = words
    .join(" ")
    .split(/(?:^| )--/)
    .slice(1);
  return Object.fromEntries(
    options.map((option) => {
      const [name = "", ...value] = option.split(" ");
      return [name, value.length === 0 ? true : value.join(" ")];
    }),
  );
}
