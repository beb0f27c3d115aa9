import { expect, test } from "vitest";
import { REFUND, sources, toolchain } from "./support.ts";

const TESTS = `package authz_test

import data.authz

base := {
	"principal": {"roles": ["support"], "auth_time": 900},
	"target": {"upstream": "crm", "name": "refund", "labels": []},
	"tenant": {"refund_limit": 5, "blocked_ibans": []},
}

test_granted if count(authz.grant) == 1 with input as base

test_wrong if {
	wanted := 3
	print("looking at", wanted)
	count(authz.grant) == wanted with input as base
}

todo_test_later if false

test_roles[name] if {
	some name, tc in {"support": {"role": "support", "n": 1}, "guest": {"role": "guest", "n": 1}}
	asked := object.union(base, {"principal": {"roles": [tc.role]}})
	count(authz.grant) == tc.n with input as asked
}

test_broken if 1 / 0 == 1

test_clock if authz.holds.fresh_login with input as base
`;
const files = { "refund.rego": REFUND, "refund_test.rego": TESTS };
const now = 1_000_000_000_000n;

async function tests(options: { run?: string; coverage?: boolean } = {}) {
  const tested = await toolchain.test(sources(files), { now, ...options });
  if (!tested.ok) throw new Error(JSON.stringify(tested.problems));
  return tested.report;
}

test("each test tells whether it passed, and each case of a data-driven one", async () => {
  const { tests: cases } = await tests();
  expect(cases.map(({ name, outcome, row }) => [name, outcome, row])).toEqual([
    ["test_granted", "pass", 11],
    ["test_wrong", "fail", 13],
    ["todo_test_later", "skip", 19],
    ["test_roles/guest", "fail", 21],
    ["test_roles/support", "pass", 21],
    ["test_broken", "fail", 27],
    ["test_clock", "pass", 29],
  ]);
});

test("a failing test tells where it stopped, with which values, and what was printed", async () => {
  const { tests: cases } = await tests({ run: "test_(wrong|roles|broken)" });
  const find = (name: string) => cases.find((c) => c.name === name);
  expect(find("test_wrong")).toMatchObject({
    package: "data.authz_test",
    file: "refund_test.rego",
    output: "looking at 3\n",
    failedAt: {
      file: "refund_test.rego",
      row: 16,
      expression: "count(authz.grant) == wanted with input as base",
      values: { wanted: 3, "count(authz.grant)": 1 },
    },
  });
  expect(find("test_roles/guest")?.failedAt).toMatchObject({
    row: 24,
    values: { tc: { role: "guest", n: 1 } },
  });
  expect(find("test_broken")?.error).toContain("divide by zero");
});

test("a data-driven test that ends in an error passes no case", async () => {
  const source = `package t
test_x[name] if {
	some name in ["a", "b"]
	clash == 1
}
clash := 1 if true
clash := 2 if true`;
  const tested = await toolchain.test(sources({ "refund.rego": REFUND, "t_test.rego": source }));
  const found = tested.ok && tested.report.tests.map(({ name, outcome }) => [name, outcome]);
  expect(found).toEqual([["test_x", "error"]]);
});

test("a filter runs only the tests it matches", async () => {
  const { tests: cases } = await tests({ run: "authz_test.test_gr" });
  expect(cases.map((c) => c.name)).toEqual(["test_granted"]);
});

test("coverage counts the policies, not the tests, and names the rows that nothing ran", async () => {
  const { coverage } = await tests({ coverage: true });
  expect(Object.keys(coverage?.files ?? {})).toEqual(["refund.rego"]);
  expect(coverage?.files["refund.rego"]?.notCovered).toEqual([18, 20, 21, 22, 33]);
  expect(coverage?.percent).toBe(coverage?.files["refund.rego"]?.percent);
  expect(coverage?.percent).toBeGreaterThan(50);
  expect((await tests()).coverage).toBeNull();
});

test("eval gives the capability of an input, at a clock of one's choice", async () => {
  const input = {
    principal: { roles: ["contractor"], auth_time: 900 },
    target: { upstream: "crm", name: "refund", labels: ["money"] },
  };
  const at = async (seconds: bigint) => {
    const evaluated = await toolchain.eval(sources(files), { input, now: seconds * 1_000_000_000n });
    return evaluated.ok && evaluated.report.results[0]?.value;
  };
  expect(await at(1000n)).toEqual({
    grants: [],
    limits: [{ arguments: { amount: { maximum: 10000 } } }],
    denials: ["contractors do not handle money"],
    holds: { account_not_blocked: false, fresh_login: true },
    missing: { account_not_blocked: ["/iban"] },
  });
  expect(await at(2000n)).toMatchObject({ holds: { fresh_login: false } });
});

test("eval answers any query, with what it printed and what it bound", async () => {
  const query = `x := to_number(".5"); y := {3, 1, 2}; print("x is", x)`;
  expect(await toolchain.eval(sources(files), { query, input: {} })).toMatchObject({
    ok: true,
    report: { results: [{ bindings: { x: 0.5, y: [1, 2, 3] } }], output: "x is .5\n" },
  });
  expect(await toolchain.eval(sources(files), { query: "data.nope", input: {} })).toMatchObject({
    report: { results: [] },
  });
  expect(await toolchain.eval(sources(files), { query: `http.send({})`, input: {} })).toMatchObject({
    ok: false,
  });
  expect(await toolchain.eval(sources(files), { query: "1 +", input: {} })).toMatchObject({
    ok: false,
    problems: [{ code: "rego_parse_error" }],
  });
});

test("fmt returns what it changes, and keeps the dot of holds.x", async () => {
  const formatted = await toolchain.fmt({
    "a.rego": "package a\nholds.x   if  input.b",
    "b.rego": "package b\n",
    "c.rego": 'package c\n\nholds["not"] if input.b\n',
  });
  expect(formatted).toEqual({ ok: true, changed: { "a.rego": "package a\n\nholds.x if input.b\n" } });
  expect(await toolchain.fmt({ "a.rego": "package" })).toMatchObject({
    ok: false,
    problems: [{ file: "a.rego" }],
  });
});

test("inspect lists packages and rules with their titles, reasons and places", async () => {
  const titled = REFUND.replace(
    "package authz",
    "# METADATA\n# title: Refunds\n# description: Who may.\npackage authz",
  );
  const inspected = await toolchain.inspect(sources({ "a.rego": titled }));
  expect(inspected).toMatchObject({
    ok: true,
    report: {
      packages: [{ path: "data.authz", title: "Refunds", description: "Who may.", file: "a.rego" }],
      rules: [
        { kind: "grant", name: "support refunds within the tenant's limit", row: 7 },
        { kind: "limit", name: "", row: 21 },
        { kind: "deny", name: "contractors do not handle money", row: 23 },
        { kind: "holds", name: "account_not_blocked", title: "an account that is not blocked" },
        { kind: "holds", name: "fresh_login", title: "a login in the last five minutes" },
      ],
    },
  });
});

test("deps names what a query reads", async () => {
  expect(await toolchain.deps(sources(files), "data.authz.deny")).toEqual({
    ok: true,
    report: { base: ["input.principal.roles", "input.target.labels"], virtual: ["data.authz.deny"] },
  });
});
