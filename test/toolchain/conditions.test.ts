import { describe, expect, test } from "vitest";
import type { JsonObject } from "../../src/lib/json.ts";
import { problemsOf, sources, tenantSchema, toolchain } from "./support.ts";

const deny = (body: string) => `deny contains "x" if { ${body} }`;
const grant = (body: string) => `grant contains {"reason": "x"} if { ${body} }`;

async function told(policy: string, data: JsonObject = {}) {
  const { problems } = await toolchain.check(sources({ "authz.rego": `package authz\n${policy}` }, data));
  return problems.filter(({ code }) => !["nothing_granted", "requirement_untitled"].includes(code));
}

const NEVER = "condition_never";
const UNDEFINED = "call_undefined";
const KIND = "value_type";
test.each([
  [
    "a list that is always there",
    deny("not input.principal.roles"),
    NEVER,
    "count(input.principal.roles) == 0",
  ],
  ["a text that is always there", deny("not input.principal.client"), NEVER, `input.principal.client == ""`],
  ["a number that is always there", deny("not input.principal.auth_time"), NEVER, "auth_time == 0"],
  ["null is there", deny("not input.principal.run"), NEVER, "input.principal.run == null"],
  [
    "by way of a helper's set",
    `${grant("not bad")}\nbad contains "x" if input.server == "x"`,
    NEVER,
    "count(data.authz.bad) == 0",
  ],
  ["alternatives below each other", deny(`input.server == "a"; input.server == "b"`), NEVER, `in {"a", "b"}`],
  ["the other way round", deny(`"a" == input.server; "b" == input.server`), NEVER, `in {"a", "b"}`],
  ["of a member", deny(`some r in input.principal.roles; r == "a"; r == "b"`), NEVER, `r in {"a", "b"}`],
  ["of a part", deny(`p := split(input.server, "/"); p[0] == "a"; p[0] == "b"`), NEVER, `p[0] in {"a", "b"}`],
  ["of an argument", `both(x) if { x == "a"; x == "b" }\n${grant("both(input.server)")}`, NEVER, "x in"],
  [
    "a helper's object",
    `${grant("not quota")}\nquota[name] := 3 if some name in ["a"]`,
    NEVER,
    "data.authz.quota == {}",
  ],
  [
    "a list that is made, also of nothing",
    deny(`not [r | some r in input.principal.roles; r == "a"]`),
    NEVER,
    "count([r |",
  ],
  [
    "a date that is none",
    deny(`time.now_ns() > time.parse_rfc3339_ns("2026-06-31T00:00:00Z")`),
    UNDEFINED,
    "2026-06-30T00:00:00Z",
  ],
  [
    "a date without its time",
    deny(`end := "2026-06-30"; time.now_ns() > time.parse_rfc3339_ns(end)`),
    UNDEFINED,
    "2026-06-30T00:00:00Z",
  ],
  [
    "a time zone that is none",
    deny(`time.clock([time.now_ns(), "Europe/Berln"])[0] > 18`),
    UNDEFINED,
    "Europe/Berlin",
  ],
  [
    "a time zone that has a name",
    `${deny("time.clock([time.now_ns(), zone])[0] > 18")}\nzone := "Europe/Berln"`,
    UNDEFINED,
    "Europe/Berlin",
  ],
  ["a number that is none", deny(`input.principal.auth_time > to_number("1,5")`), UNDEFINED, ""],
  ["a number before a text", deny(`input.principal.auth_time > "300"`), KIND, ""],
  ["a count before a text", deny(`count(input.principal.roles) >= "3"`), KIND, ""],
  ["a list is no text", grant(`input.principal.roles != "guest"`), KIND, ""],
  [
    "a bound of the wrong kind",
    `limit contains {"arguments": {"a": {"maximum": input.tenant.id}}}`,
    KIND,
    "",
  ],
])("what a rule asks though it is known beforehand is refused: %s", async (_, policy, code, hint) => {
  const problems = await told(policy);
  expect(problems).toMatchObject([{ severity: "error", code, file: "authz.rego", row: 2 }]);
  expect(problems[0]?.hint ?? "").toContain(hint);
});

test.each<[string, string, JsonObject, string]>([
  [
    "a text among values that are none",
    deny("input.principal.subject in data.blocked"),
    { blocked: { mallory: true } },
    "object.keys(data.blocked)",
  ],
  ["a text among numbers", deny("input.principal.subject in data.blocked"), { blocked: [7] }, ""],
  [
    "a list by a name",
    deny("data.blocked[input.principal.subject]"),
    { blocked: ["mallory"] },
    "input.principal.subject in data.blocked",
  ],
  ["a number and a text", deny("input.context.now > data.end"), { end: "2026" }, ""],
  ["a bound", `limit contains {"arguments": {"a": {"maximum": data.most}}}`, { most: "100" }, ""],
])("data is of the kind that a rule takes it for: %s", async (_, policy, data, hint) => {
  const problems = await told(policy, data);
  expect(problems).toMatchObject([{ severity: "error", code: KIND, row: 2 }]);
  expect(problems[0]?.hint ?? "").toContain(hint);
});

test.each([
  ["input.principal.run", "input.principal.run != null"],
  ["input.principal.roles", "count(input.principal.roles) > 0"],
  ["input.principal.auth_time", "input.principal.auth_time > 0"],
  [
    '{r | some r in input.principal.roles} & {"a"}',
    'count({r | some r in input.principal.roles} & {"a"}) > 0',
  ],
  ["count(input.principal.roles)", "count(input.principal.roles) > 0"],
  ["own := [r | some r in input.principal.roles]; own", "count(own) > 0"],
])("a condition that always holds is warned of: %s", async (field, hint) => {
  expect(await told(grant(field))).toMatchObject([{ severity: "warning", code: "condition_always", hint }]);
});

test.each([
  ["{}", grant("{}").replace("{ {} }", "{}")],
  ["a role that is asked of nobody", grant('"lead"')],
  ["what was found, also when that is nothing", grant("[r | some r in input.principal.roles]")],
])("a condition that is written out always holds, and is warned of: %s", async (_, policy) => {
  const hint = expect.stringContaining("input.principal.roles");
  expect(await told(policy)).toMatchObject([{ severity: "warning", code: "condition_always", row: 2, hint }]);
  const negated = deny('not "lead"');
  expect(await told(negated)).toMatchObject([{ severity: "error", code: "condition_never", row: 2 }]);
});

test("a loop that any other member satisfies is warned of", async () => {
  expect(await told(grant(`input.principal.roles[_] != "guest"`))).toMatchObject([
    {
      severity: "warning",
      code: "any_differs",
      hint: expect.stringContaining(`not "guest" in input.principal.roles`),
    },
  ]);
});

test.each<[string, JsonObject?]>([
  [grant("input.principal.run != null; input.tenant.refund_limit > 3")],
  [
    grant(
      `input.server != "x"; not "guest" in input.principal.roles; some r in input.principal.roles; r != "guest"`,
    ),
  ],
  [deny(`input.server == "a"; input.target.name == "a"`)],
  [deny(`input.server == "a"; not input.server == "b"`)],
  [grant("input.tenant.quotas.x == 1; input.tenant.quotas.x == 1")],
  [deny('not object.get(input.tenant, "suspended", false)')],
  [deny("input.principal.subject in data.blocked"), { blocked: [] }],
  [deny("input.principal.subject in object.keys(data.blocked)"), { blocked: { mallory: true } }],
  [deny("data.blocked[input.principal.subject]"), { blocked: { mallory: true } }],
  [deny("data.on"), { on: true }],
  [deny("data.until != null; time.now_ns() < data.until"), { until: null }],
  [deny("data.until != null; time.now_ns() < data.until"), { until: 5 }],
  [`limit contains {"arguments": {"a": {"maximum": data.most}}} if data.most != null`, { most: null }],
  [deny(`some a in input.principal.roles; some b in input.principal.roles; a == "x"; b == "y"`)],
  [deny(`input.principal.roles[_] == "x"; input.principal.roles[_] == "y"`)],
  [grant("to_number(input.principal.subject); time.parse_rfc3339_ns(input.principal.client)")],
  [`${deny("not tier")}\ntier := 3 if input.server == "x"`],
  [
    deny(
      `time.clock([time.now_ns(), "Europe/Berlin"])[0] > 18; time.now_ns() > time.parse_rfc3339_ns("2026-06-30T00:00:00Z")`,
    ),
  ],
  [`limit contains {"arguments": {"a": {"maximum": min([3, input.tenant.refund_limit])}}}`],
  [`limit contains {"arguments": {"a": {"enum": {x | some x in input.tenant.blocked_ibans}}}}`],
])("what depends on who asks is taken: %s", async (policy, data) => {
  expect(await told(policy, data)).toEqual([]);
});

test.each<[string, JsonObject]>([
  [deny("input.tenant.x != null"), { type: ["string", "null"] }],
  [deny("input.tenant.x == null"), { type: ["null", "object"], properties: { a: {} } }],
  [deny(`input.tenant.x == "all"`), { type: ["boolean", "string"] }],
  [deny(`input.tenant.x == "all"; not "a" in input.tenant.x`), { type: ["array", "string"] }],
  [
    `limit contains {"arguments": {"a": {"maximum": input.tenant.x}}} if is_number(input.tenant.x)`,
    { type: ["string", "number"] },
  ],
  [deny("input.tenant.x > 3"), { type: ["string", "number"], anyOf: [{ minimum: 1 }, { minLength: 1 }] }],
  [deny(`input.tenant.x != "a"`), { allOf: [{ type: "string" }, { minLength: 1 }] }],
])("what a schema lets be one thing or another is compared with either: %s", async (policy, x) => {
  const schema = { type: "object", properties: { x }, required: ["x"] };
  const files = { "authz.rego": `package authz\n${policy}` };
  const { problems } = await toolchain.check({ files, data: {}, tenantSchema: schema });
  expect(problems.filter(({ code }) => code !== "nothing_granted")).toEqual([]);
});

test("what none of a field's types can be is refused", async () => {
  const schema = { type: "object", properties: { x: { type: ["string", "boolean"] } }, required: ["x"] };
  const files = { "authz.rego": `package authz\n${deny("input.tenant.x > 3")}` };
  const { problems } = await toolchain.check({ files, data: {}, tenantSchema: schema });
  const [found] = problems.filter(({ code }) => code !== "nothing_granted");
  expect(found).toMatchObject({ code: "value_type", message: expect.stringContaining("boolean or string") });
});

test("a member of a list is not looked up by name, and is told once", async () => {
  expect(await problemsOf(deny(`input.principal.roles["contractor"]`))).toMatchObject([
    { code: "input_unknown", hint: expect.stringContaining(`"contractor" in input.principal.roles`) },
  ]);
});

test("what a schema requires of an object is sure only where it says that it is one", async () => {
  const check = async (limits: JsonObject) => {
    const schema = { ...tenantSchema, properties: { limits }, required: ["limits"] };
    const files = { "authz.rego": `package authz\n${deny("input.tenant.limits.max > 3")}` };
    const { problems } = await toolchain.check({ files, data: {}, tenantSchema: schema });
    return problems.map(({ code }) => code).filter((code) => code !== "nothing_granted");
  };
  const limits = { properties: { max: { type: "number" } }, required: ["max"] };
  expect(await check({ ...limits, type: "object" })).toEqual([]);
  expect(await check({ ...limits, type: ["object"] })).toEqual([]);
  expect(await check(limits)).toEqual(["optional_in_veto"]);
});

test("a rule is not hidden behind a comment that a carriage return seems to end", async () => {
  const found = await problemsOf(`# contractors\r${deny(`input.server == "x"`)}`);
  expect(found).toMatchObject([{ code: "line_end", row: 2, col: 14 }]);
  expect(await problemsOf(`# contractors\r\n${deny(`input.server == "x"`)}\r\n`)).toEqual([]);
});

test("data does not take the gateway's own package", async () => {
  expect(await told(deny(`input.server == "x"`), { portcullis: {} })).toMatchObject([
    { code: "data_reserved" },
  ]);
});

describe("tests that say more than they tried", () => {
  const POLICY = `package authz
grant contains {"reason": "x"} if "a" in input.principal.roles
deny contains "x" if input.principal.subject in blocked
blocked contains "mallory"`;
  const test_ = (source: string) => sources({ "authz.rego": POLICY, "a_test.rego": source });

  test.each([
    ["a denial", `package authz\ndeny contains "y" if input.server == "y"`, "authz.deny"],
    ["a requirement", `package authz.holds\nfresh if input.server == "y"`, "authz.holds.fresh"],
    ["a member of a helper's set", `package authz\nblocked contains "eve"`, "authz.blocked"],
  ])(
    "a file of tests adds nothing to the policies, and neither builds nor tests: %s",
    async (_, source, name) => {
      const refusal = { code: "rule_in_test", row: 2, message: expect.stringContaining(`${name} is added`) };
      expect(await toolchain.build(test_(source))).toMatchObject({ ok: false, problems: [refusal] });
      expect(await toolchain.test(test_(source))).toMatchObject({ ok: false, problems: [refusal] });
    },
  );

  test.each([
    ["a set, also when it is empty", "authz.deny with input as {}", "condition_always"],
    ["what no input has", `count(authz.deny) == 0 with input.servr as "y"`, "input_unknown"],
    [
      "what no input has, as a whole",
      `count(authz.deny) == 0 with input as {"principal": {"rolls": []}}`,
      "input_unknown",
    ],
  ])("a test that passes whatever the policies say is refused: %s", async (_, body, code) => {
    const source = `package authz_test\nimport data.authz\ntest_x if ${body}`;
    const refusal = { severity: "error", code, file: "a_test.rego", row: 3 };
    expect(await toolchain.test(test_(source))).toMatchObject({ ok: false, problems: [refusal] });
    expect((await toolchain.check(test_(source))).problems).toMatchObject([refusal]);
  });

  test("a condition that is no test by its name, and that no test reads, is warned of", async () => {
    const source = `package authz_test
import data.authz
tets_nobody if count(authz.grant) == 0
test_lead if count(authz.grant) == 1 with input as lead
lead := {"principal": {"roles": ["a"]}}
is_lead(roles) if "a" in roles
contractor if "b" in input.principal.roles
test_other if contractor with input as {"principal": {"roles": ["b"]}}
todo_test_later if contractor
test_cases[name] if some name in ["a"]`;
    const warning = {
      severity: "warning",
      code: "rule_unasked",
      file: "a_test.rego",
      row: 3,
      message: "nothing asks for authz_test.tets_nobody, and by its name it is no test",
    };
    const tested = await toolchain.test(test_(source));
    expect(tested.ok && tested.report.warnings).toMatchObject([warning]);
    expect((await toolchain.check(test_(source))).problems).toMatchObject([warning]);
    const other = `package other_test\ntest_x if data.authz_test[input.server]`;
    const { files, ...rest } = test_(source);
    const dynamic = { ...rest, files: { ...files, "b_test.rego": other } };
    expect(await toolchain.test(dynamic)).toMatchObject({ ok: true, report: { warnings: [] } });
  });

  test("a data-driven test that came to no case fails", async () => {
    const source = `package authz_test
import data.authz
test_cases[name] if {
	count(authz.grant) == 5
	some name, n in {"one": 1}
	n == 1
}
test_none[name] if some name in []
test_named[name] if some name in ["a"]`;
    const tested = await toolchain.test(test_(source));
    expect(
      tested.ok && tested.report.tests.map(({ name, outcome, error }) => [name, outcome, error]),
    ).toEqual([
      ["test_cases", "fail", "it came to no case"],
      ["test_none", "fail", "it came to no case"],
      ["test_named/a", "pass", ""],
    ]);
  });
});
