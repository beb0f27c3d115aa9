import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { pinFileText } from "../../src/catalog/pin-file.ts";
import { type EvalOptions, evaluate } from "../../src/commands/eval.ts";
import { fmt } from "../../src/commands/fmt.ts";
import { company, POLICY } from "./company.ts";
import { COMPANY, surroundings } from "./world.ts";

async function run(folder: string, options: Partial<EvalOptions>, input = "") {
  const { around, printed } = surroundings(folder, { input });
  const code = await evaluate({ config: "portcullis.yaml", arguments: [], ...options }, around);
  return { code, ...printed };
}

test("a user's capability for a target, layer by layer", async () => {
  expect(await run(COMPANY, { user: "cho", target: "desk:close_ticket" })).toEqual({
    code: 0,
    out: `platform
  unmet  account_not_blocked  cannot be told without /iban
  holds  fresh_login
acme
  grant  acme's contractors close tickets
         ticket      pattern ACME-[0-9]{1,6}
         credential  role agent, source desk
         requires    recent_login
  holds  recent_login
`,
    err: "",
  });
});

test("a target of another kind is named by its kind", async () => {
  const granted = async (kind: string, target: string, user = "ann") =>
    (await run(COMPANY, { user, kind, target })).out.split("\n")[1];
  expect(await granted("prompt", "everything:completable-prompt", "bob")).toContain("leads staff");
  const text = "everything:demo://resource/dynamic/text/{resourceId}";
  expect(await granted("template", text)).toContain("support reads the first dynamic texts");
  expect(await granted("resource", "memory:memory://knowledge-graph")).toContain(
    "internal tools are not for agents",
  );
  // No server lists it: it is a target by its URI.
  const page = "everything:demo://resource/static/document/more.md";
  expect(await granted("resource", page)).toContain("everyone reads the reference documents");
  expect(await granted("server", "desk")).not.toContain("grant");
  for (const [kind, target] of [
    ["prompt", "everything:echo"],
    ["tol", "everything:echo"],
    ["server", "dsk"],
    ["resource", "nobody:x://y"],
  ] as const)
    await expect(run(COMPANY, { user: "ann", kind, target })).rejects.toMatchObject({
      code: "params_invalid",
    });
});

test("what holds is told for the arguments that are given", async () => {
  const asked = { user: "ann", target: "desk:refund" };
  const held = await run(COMPANY, { ...asked, args: '{"iban": "DE02120300000000202051"}' });
  expect(held.out).toContain("  holds  account_not_blocked\n");
  const blocked = await run(COMPANY, { ...asked, args: '{"iban": "DE89370400440532013000"}' });
  expect(blocked.out).toContain("  unmet  account_not_blocked\n");
});

test("a requirement that is true of an absent argument does not hold without it, as at the gateway", async () => {
  const folder = company({
    "policies/more.rego": `package authz

# METADATA
# title: an open account
holds.open if not input.arguments.iban == "closed"

# METADATA
# title: a short note, or none
# custom:
#   optional: [note]
holds.brief if not input.arguments.note == "long"

limit contains {"requires": ["open", "brief"]}
`,
  });
  const asked = { user: "ann", target: "crm:refund" };
  const { out } = await run(folder, asked);
  expect(out).toContain("  holds  brief\n  unmet  open  cannot be told without /iban\n");
  expect((await run(folder, { ...asked, args: '{"iban": "x"}' })).out).toContain("  holds  open\n");
});

test("a query answers with its value, of one tenant's layer alone where asked", async () => {
  const { code, out } = await run(COMPANY, {
    user: "ann",
    target: "desk:refund",
    tenant: "acme",
    arguments: ["{keyword | some limit in data.authz.limit; limit.arguments.iban[keyword]}"],
  });
  expect({ code, out }).toEqual({ code: 0, out: 'acme\n  [\n    "pattern"\n  ]\n' });
});

test("an input is read from stdin, and JSON comes out for programs", async () => {
  const input = JSON.stringify({
    principal: { roles: ["support"] },
    target: { upstream: "crm", name: "refund" },
  });
  const { code, out } = await run(company(), { input: "-", json: true }, input);
  expect(code).toBe(0);
  expect(JSON.parse(out)).toMatchObject({
    layers: [
      { layer: "platform", report: { results: [{ value: { grants: [{ reason: "support refunds" }] } }] } },
    ],
    problems: [],
  });
});

test("a query that is wrong is told at its place", async () => {
  const { code, err } = await run(company(), { user: "ann", arguments: ["1 +"] });
  expect(code).toBe(2);
  expect(err).toContain("query:1:3: rego_parse_error: ");
});

test.each<[Partial<EvalOptions>, string]>([
  [{}, "give --user or --input"],
  [{ user: "anm" }, 'there is no sample user "anm": did you mean "ann"?'],
  [{ user: "zoe" }, 'there is no sample user "zoe": describe anybody else with --input FILE'],
  [
    { user: "ann", target: "crm:refunt" },
    'nothing is pinned as crm:refunt on "support": did you mean "crm:refund"?',
  ],
  [{ user: "ann", target: "crm:refund", server: "suport" }, 'there is no virtual server "suport": support'],
  [{ user: "ann", args: "[]" }, "--args must be a JSON object"],
  [{ user: "ann", args: "{x}" }, "--args: it is not one JSON document"],
  [{ input: "-" }, "the input: it is empty"],
  [{ input: "absent.json" }, "absent.json cannot be read: no such file or directory"],
])("eval %j is refused", async (options, reason) => {
  const refusal = expect.objectContaining({ reason: expect.stringContaining(reason) });
  await expect(run(company(), options)).rejects.toEqual(refusal);
});

test("where nothing is pinned yet, eval says how it gets pinned", async () => {
  const folder = company({ "pins.json": pinFileText([]) });
  await expect(run(folder, { user: "ann", target: "crm:refund" })).rejects.toMatchObject({
    reason:
      'nothing is pinned as crm:refund on "support": portcullis pin --all pins what the upstreams announce',
  });
});

test("fmt names what formatting changes, and changes it when told to", async () => {
  const folder = company({
    "policies/authz.rego": POLICY.replace("input.target.name ==", "input.target.name   =="),
  });
  const { around, printed } = surroundings(folder);
  expect(await fmt({ config: "portcullis.yaml" }, around)).toBe(1);
  expect(printed.out).toBe("policies/authz.rego\n");
  expect(await fmt({ config: "portcullis.yaml", write: true }, around)).toBe(0);
  expect(readFileSync(join(folder, "policies/authz.rego"), "utf8")).toBe(POLICY);
  writeFileSync(join(folder, "policies/authz.rego"), "package");
  printed.out = "";
  expect(await fmt({ config: "portcullis.yaml" }, around)).toBe(1);
  expect(printed.out).toMatch(/^policies\/authz.rego:1:\d+: rego_parse_error: /);
});
