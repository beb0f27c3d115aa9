import { unlinkSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { test as runTests, type TestCommandOptions } from "../../src/commands/test.ts";
import { company, POLICY } from "./company.ts";
import { ROOT, surroundings } from "./world.ts";

const TESTS = `package authz_test

import data.authz

asks(roles) := {
	"principal": {"roles": roles},
	"target": {"upstream": "crm", "name": "refund", "labels": []},
}

test_support_refunds if count(authz.grant) == 1 with input as asks(["support"])
`;

const FAILING = `${TESTS}
test_contractors_refund if {
	wanted := 1
	count(authz.grant) == wanted with input as asks(["contractor"])
}
`;

const CASE = `name: a small refund
principal: {user: ann}
server: support
request:
  method: tools/call
  params: {name: refund, arguments: {amount: 5}}
want: {effect: allow, code: ok, grant: support refunds, forwarded: {amount: 5}}
`;

const DIFFERING = `${TESTS}
test_roles_are_told if {
	roles := {"b", "a", "c"}
	$"{roles}" == "{\\"a\\", \\"b\\", \\"c\\"}"
}
`;

async function run(folder: string, options: Partial<TestCommandOptions> = {}) {
  const { around, printed } = surroundings(folder);
  const code = await runTests({ config: "portcullis.yaml", ...options }, around);
  return { code, ...printed };
}

test("the example company's tests and golden cases pass, every row covered", async () => {
  const config = "examples/acme-and-globex/portcullis.yaml";
  const { code, out } = await run(ROOT, { config, cases: "test/cases", coverage: true });
  expect(out).toMatch(/^platform {2}\d+ passed {2}100.0 % covered {2}examples\/acme-and-globex\/policies\n/);
  expect(out).toMatch(/^module +\d+ agreed {2,}the tests again, in the module that serves$/m);
  expect(out).toMatch(/^cases +\d\d passed +test\/cases$/m);
  expect(out).toMatch(/\nok: \d+ passed\n$/);
  expect(code).toBe(0);
});

test("a failing test is told at its row, with its expression and the values it saw", async () => {
  const folder = company({ "policies/authz_test.rego": FAILING, "cases/small.yaml": CASE });
  expect(await run(folder)).toEqual({
    code: 1,
    out: `platform  1 passed, 1 failed  100.0 % covered  policies
acme      0 passed                             acme
module    2 agreed                             the tests again, in the module that serves
cases     1 passed                             cases
policies/authz_test.rego:14: test_failed: test_contractors_refund
    count(authz.grant) == wanted with input as asks(["contractor"])
    asks(["contractor"]) = {"principal":{"roles":["contractor"]},"target":{"labels":[],"name":"refund","upstream":"crm"}}
    count(authz.grant) = 0
    wanted = 1
1 failed: 2 passed
`,
    err: "",
  });
});

test("a test that passes in OPA's evaluator alone fails, at its place, with what to do", async () => {
  const folder = company({ "policies/authz_test.rego": DIFFERING });
  const differs = {
    code: "test_differs",
    message: "test_roles_are_told: passes in OPA's evaluator, fails in the module that serves",
    hint: "the module decides: write the rule, and the test, so that both agree (docs/policy.md, Avoid the traps)",
  };
  expect(await run(folder)).toEqual({
    code: 1,
    out: `platform  1 passed, 1 failed    100.0 % covered  policies
acme      0 passed                               acme
module    1 agreed, 1 differed                   the tests again, in the module that serves
policies/authz_test.rego:12:1: ${differs.code}: ${differs.message}
    ${differs.hint}
1 failed: 1 passed
`,
    err: "",
  });
  const { code, out } = await run(folder, { json: true });
  expect({ code, ...JSON.parse(out) }).toMatchObject({
    code: 1,
    ok: false,
    passed: 1,
    failed: 1,
    module: { agreed: 1, differed: 1, alone: 0 },
    layers: [{ name: "platform", failures: [{ ...differs, row: 12, col: 1 }] }, { name: "acme" }],
  });
});

test("a test that no module holds passes, and is told as checked by OPA's evaluator alone", async () => {
  const twice = `${TESTS}\ntest_twice if true\n\ntest_twice if 1 < 2\n`;
  const { code, out } = await run(company({ "policies/authz_test.rego": twice }));
  expect({ code, out }).toEqual({
    code: 0,
    out: `platform  3 passed           100.0 % covered  policies
acme      0 passed                            acme
module    1 agreed, 2 alone                   the tests again, in the module that serves
policies/authz_test.rego:12:1: warning: test_alone: test_twice and 1 more: checked by OPA's evaluator alone
    another test of its package has the same name
ok: 3 passed
`,
  });
});

test("a rule that was meant for a test and never runs is told where the tests are", async () => {
  const misnamed = "tets_nobody if count(authz.grant) == 0 with input as asks([])";
  const folder = company({ "policies/authz_test.rego": `${TESTS}\n${misnamed}\n` });
  const { code, out } = await run(folder);
  expect(code).toBe(0);
  expect(out).toContain(
    `policies/authz_test.rego:12:1: warning: rule_unasked: nothing asks for authz_test.tets_nobody, and by its name it is no test
    tests are called test_…, or todo_test_… while they are skipped
ok: 1 passed
`,
  );
});

test("a failing case prints what was wanted and what came out", async () => {
  const wrong = CASE.replace("amount: 5}}\nwant", "amount: 500}}\nwant");
  const { code, out } = await run(company({ "cases/small.yaml": wrong }));
  expect(code).toBe(1);
  expect(out).toContain(`cases/small.yaml: case_failed: a small refund
    effect: wanted "allow", got "deny"
    code: wanted "ok", got "argument_out_of_bounds"
    forwarded: wanted {"amount":5}, got null
`);
});

test("a case whose credential configuration refuses fails, although policy allowed it", async () => {
  const policies = { "policies/authz.rego": POLICY.replace('"role": "reader"', '"role": "refunder"') };
  const { code, out } = await run(company({ ...policies, "cases/small.yaml": CASE }));
  expect(code).toBe(1);
  expect(out).toContain(
    `forwarding: wanted "ok", got "credential_refused: tenant \\"acme\\" may not have role \\"refunder\\" of \\"crm\\""`,
  );
});

test.each([
  ["what is no case", CASE.replace("effect: allow", "effect: maybe"), "cases/small.yaml:7:16: case_invalid:"],
  ["a misspelt key", CASE.replace("server:", "sever:"), "cases/small.yaml:"],
])("%s among the cases is told at its place", async (_, text, wanted) => {
  const { code, out } = await run(company({ "cases/small.yaml": text }));
  expect({ code, out }).toEqual({ code: 1, out: expect.stringContaining(wanted) });
});

test("without pinned definitions there is nothing to run cases against", async () => {
  const folder = company({ "cases/small.yaml": CASE });
  unlinkSync(join(folder, "pins.json"));
  const { code, out } = await run(folder);
  expect(code).toBe(1);
  expect(out).toContain("pins.json: pins_missing: no definitions are pinned");
});

test("--run chooses among tests and cases alike; one that matches nothing is an error", async () => {
  const folder = company({ "policies/authz_test.rego": FAILING, "cases/small.yaml": CASE });
  expect((await run(folder, { run: "support|small" })).out).toContain("\nok: 2 passed\n");
  expect(await run(folder, { run: "nothing_like_it" })).toMatchObject({
    code: 2,
    err: "portcullis: no test matches nothing_like_it\n",
  });
  expect(await run(folder, { run: "(" })).toMatchObject({ code: 2, out: "" });
});

test("--coverage names the rows that no test covers", async () => {
  const more = `${POLICY}
deny contains "no money" if {
	"contractor" in input.principal.roles
	"money" in input.target.labels
}
`;
  const folder = company({ "policies/authz.rego": more, "policies/authz_test.rego": TESTS });
  const { out } = await run(folder, { coverage: true });
  expect(out).toContain("policies/authz.rego:13-15: not covered\n");
});

test("policies that do not compile are told, and no case is run against them", async () => {
  const { code, out } = await run(
    company({ "policies/authz.rego": "package authz\n\ngrant :=", "cases/small.yaml": CASE }),
  );
  expect(code).toBe(1);
  expect(out).toContain("policies/authz.rego:3");
  expect(out).not.toContain("case_failed");
});
