import { afterAll, expect, test } from "vitest";
import type { JsonObject } from "../../src/lib/json.ts";
import { createToolchain } from "../../src/policy/toolchain.ts";
import { tryTests } from "../../src/policy/trial.ts";
import { NOW, TENANT_SCHEMA, toolchain } from "./world.ts";

afterAll(() => toolchain.close());

const POLICY = `package authz

import data.lib.names

grant contains {"reason": "support refunds"} if {
	"support" in input.principal.roles
	names.refund(input.target.name)
}

deny contains "a lab" if regex.match("^lab-", input.target.name)

deny contains "listed" if input.target.name in data.listed

deny contains "a large one" if to_number(input.server) > 3

holds.fresh if (time.now_ns() / 1000000000) - input.principal.auth_time < 300

kinds[kind].opened := true if some kind in ["tool"]

kinds[kind].closed := true if {
	some kind in ["tool"]
	not kinds.tool.opened
}
`;
const NAMES = `package lib.names

refund(name) if name == "refund"

test_refund if refund("refund")
`;
const asks = `asks(roles, name) := {
	"principal": {"roles": roles, "auth_time": 1000},
	"target": {"name": name},
	"server": "1",
}
yes(_, _) := true
four(_) := 4
closes(name) if name == "close"
late := 1300 * 1000000000
`;
const KNOWN = `test_known if {
	names.refund("refund")
	count(authz.deny) == 0
}
`;
const DATA = { listed: ["export"], level: 1 };

async function tried(tests: string, data: JsonObject = DATA, builder = toolchain) {
  const files = {
    "authz.rego": POLICY,
    "lib/names.rego": NAMES,
    "authz_test.rego": `package authz_test\n\nimport data.authz\nimport data.lib.names\n\n${asks}${KNOWN}${tests}\n`,
  };
  const sources = { files, data, tenantSchema: TENANT_SCHEMA };
  const ran = await toolchain.test(sources, { now: BigInt(NOW) * 1_000_000_000n });
  if (!ran.ok) throw new Error(JSON.stringify(ran.problems));
  const { tests: cases } = ran.report;
  const found = await tryTests(sources, cases, builder, NOW);
  return {
    outcomes: Object.fromEntries(cases.map(({ name, outcome }) => [name, outcome])),
    agreed: found.agreed,
    differing: found.differing.map(({ test, module, fault }) => [test.name, test.outcome, module, fault]),
    alone: Object.fromEntries(found.alone.map(({ test, reason }) => [test.name, reason])),
  };
}

const REFUND = 'with input as asks(["support"], "refund")';
const AGREEING = `
test_input if count(authz.grant) == 1 ${REFUND}
test_input_in_part if count(authz.grant) == 1 with input as asks([], "refund") with input.principal.roles as ["support"]
test_no_input if count(authz.grant) == 0
test_data if "listed" in authz.deny ${REFUND} with data.listed as ["refund"]
test_data_alone if data.level == 2 with data.level as 2
test_rules_replaced if authz.deny == {"x"} with data.authz.deny as {"x"}
test_clock_stands if time.now_ns() == ${NOW}000000000
test_clock if authz.holds.fresh ${REFUND} with time.now_ns as 1299 * 1000000000
test_clock_first if authz.holds.fresh with time.now_ns as 1299 * 1000000000 ${REFUND}
test_clock_by_rule if not authz.holds.fresh ${REFUND} with time.now_ns as late
test_builtin_by_function if "a lab" in authz.deny with regex.match as yes ${REFUND}
test_builtin_by_value if "a lab" in authz.deny ${REFUND} with regex.match as true
test_hosted_builtin if "a large one" in authz.deny with to_number as four ${REFUND}
test_builtin_by_builtin if "a large one" in authz.deny with to_number as count with input as object.union(asks([], "x"), {"server": "12345"})
test_function if count(authz.grant) == 1 with names.refund as closes with input as asks(["support"], "close")
test_function_before_data if data.level + count(authz.grant) == 3 with data.lib.names.refund as closes with data.level as 2 with input as asks(["support"], "close")
test_every if {
	every name in ["refund", "lab-1"] { count(authz.grant) < 2 with input as asks(["support"], name) }
}
test_prints if {
	print("asked", asks([], "x"))
	true
}
test_cases[name] if {
	some name, tc in {"support": {"roles": ["support"], "n": 1}, "nobody": {"roles": [], "n": 0}, "wrong": {"roles": [], "n": 1}}
	count(authz.grant) == tc.n with input as asks(tc.roles, "refund")
}
test_nested[a][b] if {
	some a in ["x", "y/z"]
	some b in [1, 2]
	b == 1
}
test_named_by_hand[n] if {
	some n in ["p", "q"]
	internal.test_case([n])
	n == "p"
}
test_no_case[x] if some x in []
test_else if { false } else := true
test_fails if count(authz.grant) == 2 ${REFUND}
test_conflict if clash == 1
clash := 1 if true
clash := 2 if asks([], "")
within.test_inner if true
todo_test_later if false
`;

test("whatever a test replaces, loops over or prints, it comes out in the module as in OPA's evaluator", async () => {
  const { outcomes, ...found } = await tried(AGREEING);
  const failing = ["cases/wrong", "nested/x/2", "nested/y/z/2", "named_by_hand/q", "no_case", "fails"];
  expect(Object.keys(outcomes).filter((name) => outcomes[name] === "fail")).toEqual(
    expect.arrayContaining(failing.map((name) => `test_${name}`)),
  );
  expect(outcomes).toMatchObject({
    test_conflict: "error",
    todo_test_later: "skip",
    "within.test_inner": "pass",
  });
  expect(Object.values(outcomes).filter((outcome) => outcome === "fail")).toHaveLength(failing.length);
  expect(found).toEqual({ agreed: Object.keys(outcomes).length - 1, differing: [], alone: {} });
});

test("what the module does otherwise is found, whoever of the two lets the test pass", async () => {
  const { outcomes, differing, agreed } = await tried(`
test_text_of_a_set if $"{{"b", "a", "c"}}" == "{\\"a\\", \\"b\\", \\"c\\"}"
test_fraction if 200.01 * 1.5 == 300.015
test_cases[name] if {
	some name, roles in {"two": {"b", "a"}, "one": {"a"}}
	startswith($"{roles}", "{\\"a")
}
test_sound if true
`);
  expect(outcomes).toMatchObject({ test_text_of_a_set: "pass", test_fraction: "fail" });
  expect(differing).toEqual([
    ["test_text_of_a_set", "pass", "fail", ""],
    ["test_fraction", "fail", "pass", ""],
    ["test_cases/two", "pass", "fail", ""],
  ]);
  expect(agreed).toBe(Object.keys(outcomes).length - 3);
});

test("a test is held to what one evaluation may take", async () => {
  const { differing } = await tried(
    `
test_far_too_long if count([1 | some _ in data.items; some _ in data.items; contains(data.text, "ab")]) == 0
`,
    { ...DATA, text: "a".repeat(40), items: Array.from({ length: 400 }, (_, i) => i) },
  );
  expect(differing).toEqual([
    ["test_far_too_long", "pass", "error", expect.stringMatching(/^policy: cut after \d+ steps$/)],
  ]);
});

test("what no module holds is said to be checked by the evaluator alone, and the others are tried nevertheless", async () => {
  const { outcomes, ...found } = await tried(`
test_first if count(authz.grant) == 1 ${REFUND}
test_planned_together if authz.kinds.tool.opened
test_twice if true
test_twice if false
test_last if count(authz.deny) == 0 ${REFUND}
`);
  const same = "another test of its package has the same name";
  expect(found).toEqual({
    agreed: 4,
    differing: [],
    alone: {
      test_planned_together: expect.stringContaining("planned as a single function"),
      test_twice: same,
      "test_twice#01": same,
    },
  });
});

test("of tests that all are beyond a module none is lost", async () => {
  const { agreed, alone } = await tried(
    "test_one if authz.kinds.tool.opened\ntest_two if not authz.kinds.tool.closed",
  );
  expect(agreed).toBe(2);
  expect(Object.keys(alone)).toEqual(["test_one", "test_two"]);
});

test("a module that takes too long to build fails no test", async () => {
  const hurried = createToolchain({ deadlineMs: 1 });
  const { outcomes, ...found } = await tried("test_sound if true", DATA, hurried);
  await hurried.close();
  const reason = "the Rego toolchain did not answer within 1 ms, so it was cut";
  expect(outcomes).toMatchObject({ test_sound: "pass" });
  expect(found).toEqual({
    agreed: 0,
    differing: [],
    alone: Object.fromEntries(Object.keys(outcomes).map((name) => [name, reason])),
  });
});
