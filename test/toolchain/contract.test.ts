import { describe, expect, test } from "vitest";
import { parseGrant, parseLimit } from "../../src/policy/answers.ts";
import { FORMATS } from "../../src/policy/format.ts";
import { inputSchema } from "../../src/policy/input-schema.ts";
import { compilePattern } from "../../src/policy/pattern.ts";
import { problemsOf, REFUND, sources, tenantSchema, toolchain } from "./support.ts";

const grant = (body: string, more = "") => `grant contains {"reason": "x"} if { ${body} }\n${more}`;
const deny = (body: string, more = "") => `deny contains "x" if { ${body} }\n${more}`;
const withCredential = (body: string) =>
  `grant contains {"reason": "x", "credential": {"source": "crm"}} if { ${body} }`;

/** [policy after its package line, wanted code, row:col, part of the hint] */
type Refusal = readonly [policy: string, code: string, at: string, hint: string];

function refused(title: string, cases: readonly Refusal[]): void {
  test.each(cases)(`${title}: %s`, async (policy, code, at, hint) => {
    const found = (await problemsOf(policy)).find((p) => p.code === code);
    expect(found).toMatchObject({ severity: "error", code, file: "authz.rego" });
    expect(`${found?.row}:${found?.col}`).toBe(at);
    expect(found?.hint ?? "").toContain(hint);
  });
}

function accepted(title: string, policies: readonly string[]): void {
  test.each(policies)(`${title}: %s`, async (policy) => {
    expect(await problemsOf(policy)).toEqual([]);
  });
}

test("the design's own example passes without a word", async () => {
  expect(await toolchain.check(sources({ "refund.rego": REFUND }))).toEqual({ ok: true, problems: [] });
});

const AHEAD = "arguments_in_capability";
refused("a capability cannot read arguments", [
  [grant("input.arguments.amount < 3"), AHEAD, "2:37", `"arguments": {"amount"`],
  [`limit contains {"arguments": {"a": {"maximum": input.arguments.b}}}`, AHEAD, "2:48", "requires"],
  [deny("input.arguments.a == 1"), AHEAD, "2:24", "requires"],
  [grant("small", "small if input.arguments.amount < 3"), AHEAD, "3:10", "requires"],
  [grant("f(input.arguments)", "f(a) if a.amount < 3"), AHEAD, "3:9", "requires"],
  [grant("data.authz.holds.y", "holds.y if input.arguments.a == 1"), AHEAD, "3:12", "requires"],
  [grant("data[input.server].holds.y", "holds.y if input.arguments.a"), AHEAD, "3:12", "requires"],
  [grant("a.b == 1").replace("grant", "import input.arguments as a\ngrant"), AHEAD, "3:37", "requires"],
  [grant(`$"{input.arguments.a}" == "3"`), AHEAD, "2:40", "requires"],
  [grant("[input.arguments][0].a == 1"), AHEAD, "2:37", "requires"],
  [grant("x", `x := 1 if input.server == "s" else := 2 if input.arguments.a`), AHEAD, "3:31", "requires"],
  [grant("p", "default p := {x | x := input.arguments.y}"), AHEAD, "2:37", "requires"],
  [grant("y[input.server]", "y[input.arguments.z] := 1"), AHEAD, "3:3", "requires"],
]);

refused("a capability names the fields it reads", [
  [grant("f(input)", "f(i) if i.principal.roles"), "input_unnamed", "2:39", "input.principal.roles"],
  [grant("count(input) > 3"), "input_unnamed", "2:43", "input.principal.roles"],
  [grant(`x := input.server; input[x].kind == "user"`), "input_unnamed", "2:56", "name the field"],
  [grant(`x := input.server; input.principal[x] == "user"`), "input_unnamed", "2:56", "input.principal.…"],
  [grant(`some x; input.principal[x] == "user"`), "input_unnamed", "2:45", "input.principal.…"],
  [`holds.y if input[input.server]`, "input_unnamed", "2:12", "name the field"],
]);
accepted("a map or list may be read by a computed key", [
  grant("input.tenant.quotas[input.principal.subject] > 5"),
  grant(`some role in input.principal.roles; role == "a"`),
  grant(`input.principal.attributes[input.server] == "x"`),
]);

refused("`with` is for tests", [
  [`test_x if p with input.server as 1\np if input.server`, "with_in_policy", "2:13", "ends in _test.rego"],
  [grant("p with input.server as 1", "p if input.server"), "with_in_policy", "2:39", "f(value)"],
  [grant("p with input.arguments as {}", "p if input.server"), "with_in_policy", "2:39", "f(value)"],
  [grant("p with data.x as 1", "p if data.x"), "with_in_policy", "2:39", "f(value)"],
  [
    grant("every r in input.principal.roles { p(r) with input.server as r }", "p(r) if input.server == r"),
    "with_in_policy",
    "2:77",
    "f(value)",
  ],
]);

refused("a misspelt field is an error", [
  [grant(`input.action == "list"`), "input_unknown", "2:37", "there is no action"],
  [grant(`"a" in input.principal.rolls`), "input_unknown", "2:44", "did you mean roles?"],
  [grant(`"a" in input.principal.roels`), "input_unknown", "2:44", "did you mean roles?"],
  [grant(`input.principal.run.ide == "x"`), "input_unknown", "2:37", "did you mean id?"],
  [grant("input.tenant.refund_limits > 1"), "input_unknown", "2:37", "did you mean refund_limit?"],
  [grant("count(input.targets) > 1"), "input_unknown", "2:43", "did you mean target?"],
  [`holds.y if "y" in input.requires`, "input_unknown", "2:19", "one of"],
]);

const OPEN = "optional_in_veto";
refused("a denial or limit does not read what may be absent", [
  [deny("input.tenant.suspended"), OPEN, "2:24", `object.get(input.tenant, "suspended", default)`],
  [deny("not input.tenant.suspended"), OPEN, "2:28", "require the field"],
  [deny("t := input.tenant; t.suspended"), OPEN, "2:43", "require the field"],
  [deny(`input.tenant.quotas[k] > 1; input.principal.attributes[k] == "x"`), OPEN, "2:52", "object.get"],
  [
    deny(`rules[r]; r.note == "x"`, "rules contains r if some r in input.tenant.rules"),
    OPEN,
    "2:34",
    "require",
  ],
  [deny("f(input.tenant)", "f(t) if t.suspended"), OPEN, "3:9", "require the field"],
  [deny("record.suspended", "record := input.tenant"), OPEN, "2:24", "require the field"],
  [deny("record.suspended", "record := f(input.tenant)\nf(t) := t"), OPEN, "2:24", "require the field"],
  [deny(`input.principal.attributes.dept == "x"`), OPEN, "2:24", "require the field"],
  [deny(`input.principal.run.id == "x"`), OPEN, "2:24", "require the field"],
  [deny(`input.principal.roles[0] == "x"`), OPEN, "2:24", "require the field"],
  [
    deny("input.tenant.quotas[input.principal.subject] > 5"),
    OPEN,
    "2:24",
    "object.get(input.tenant.quotas, key",
  ],
  [deny(`some r in input.tenant.rules; r.note == "x"`), OPEN, "2:54", "require the field"],
  [deny(`every r in input.tenant.rules { r.note == "x" }`), OPEN, "2:56", "require the field"],
  [
    deny(`some r in rules; r.note == "x"`, "rules contains r if some r in input.tenant.rules"),
    OPEN,
    "2:41",
    "require the field",
  ],
  [
    `limit contains {"arguments": {"a": {"maximum": input.tenant.quotas[input.principal.subject]}}}`,
    OPEN,
    "2:48",
    "object.get",
  ],
]);
refused("a denial or limit does not reach what may be absent by a value made anew", [
  [deny(`o := {"t": input.tenant}; o.t.suspended`), OPEN, "2:50", "require the field"],
  [deny(`{"t": input.tenant}.t.suspended`), OPEN, "2:24", "require the field"],
  [deny("[input.tenant][0].suspended"), OPEN, "2:24", "require the field"],
  [deny("some o in [x | x := input.tenant]; o.suspended"), OPEN, "2:59", "require the field"],
  [deny("t.t.suspended", `t := {"t": input.tenant}`), OPEN, "2:24", "require the field"],
  [deny("m.x.suspended", 'm[k] := input.tenant if some k in {"x"}'), OPEN, "2:24", "require the field"],
  [deny("f({1: input.tenant})", "f(o) if o[1].suspended"), OPEN, "3:9", "require the field"],
  [deny("some o in {{input.tenant}}; some t in o; t.suspended"), OPEN, "2:65", "require the field"],
  [deny("[t, _] := [input.tenant, 1]; t.suspended"), OPEN, "2:25", "name the member"],
]);
refused("a denial or limit does not search a value that may lack what it looks for", [
  [deny("object.union({}, input.tenant).suspended"), OPEN, "2:41", "name the member"],
  [deny(`json.filter(input.tenant, ["suspended"]).suspended`), OPEN, "2:36", "name the member"],
  [deny(`some p, v; walk(input.tenant, [p, v]); p == ["suspended"]`), OPEN, "2:40", "name the member"],
  [deny(`json.unmarshal(json.marshal(input.tenant)).suspended`), OPEN, "2:52", "name the member"],
  [deny(`input.tenant == {"id": "x", "suspended": true}`), OPEN, "2:24", "name the member"],
  [deny(`"suspended", true in input.tenant`), OPEN, "2:45", "name the member"],
  [deny("object.get(input.tenant, input.server, false)"), OPEN, "2:35", "name the member"],
  [deny(`object.union({}, input.tenant.quotas).refund > 5`), OPEN, "2:41", "name the member"],
  [deny(`object.union({}, input.principal).attributes.x`), OPEN, "2:41", "name the member"],
  [deny('every k, _ in input.tenant { k != "suspended" }'), OPEN, "2:38", "name the member"],
  [`limit contains {"requires": object.keys(input.tenant)}`, OPEN, "2:41", "name the member"],
]);
accepted("a denial may read whole what has all its members, or is asked for its elements", [
  deny(`"a" in input.principal.roles; count(input.tenant.quotas) > 3; 5 in input.tenant.quotas`),
  deny(
    `f(input.principal.roles, input.tenant)`,
    `f(roles, tenant) if { "a" in roles; tenant.refund_limit > 3 }`,
  ),
  deny(`concat("/", [input.server, input.target.name]) == "a/b"`),
  deny(`{r | some r in input.principal.roles} & {"a", "b"} != set()`),
  deny(`$"{input.principal.subject}" in input.tenant.blocked_ibans`),
  deny(`o := {"t": input.tenant, "p": input.principal}; o.t.refund_limit > 3; o.p.kind == "user"`),
  deny(`object.union({}, input.context).now > 3`),
  deny(`print(input.tenant); input.server == "x"`),
  deny("every limit in input.tenant.quotas { limit > 3 }"),
]);
accepted("a denial may read what is surely there", [
  deny("input.tenant.refund_limit > 3"),
  deny(`object.get(input.tenant, "suspended", true)`),
  deny(`some r in input.tenant.rules; r.tool == "x"`),
  deny(`some r in rules; r.tool == "x"`, "rules contains r if some r in input.tenant.rules"),
  deny("input.tenant.quotas[_] > 5"),
  deny(`input.principal.run != null`),
]);

refused("a requirement names the members that it looks for in an argument", [
  [
    `holds.y if not object.union({}, input.arguments.payee).iban == "x"`,
    "arguments_unnamed",
    "2:33",
    "custom.optional: [payee]",
  ],
  [
    `holds.y if not "x" in object.keys(input.arguments.payee)`,
    "arguments_unnamed",
    "2:35",
    "name the member",
  ],
  [
    `holds.y if { walk(input.arguments.payee, [_, v]); v != "x" }`,
    "arguments_unnamed",
    "2:19",
    "name the member",
  ],
  [
    `# METADATA\n# title: y\n# custom:\n#  optional: [other]\nholds.y if not "x" in object.keys(input.arguments.payee)`,
    "arguments_unnamed",
    "6:35",
    "custom.optional: [payee]",
  ],
]);
accepted("a requirement may read an argument whole", [
  `# METADATA\n# title: y\n# custom:\n#  optional: [payee]\nholds.y if not "x" in object.keys(input.arguments.payee)`,
  `holds.y if { count(input.arguments.list) < 3; "x" in input.arguments.list; $"{input.arguments.a}:{input.arguments.b}" == "a:b" }`,
  `holds.y if { every i in input.arguments.list { i.price < 3 }; input.arguments.tags == ["a"]; concat(",", input.arguments.tags) == "a" }`,
]);

test("an argument that a requirement reads by way of a value made anew must be present", async () => {
  const policy = `package authz\nholds.y if { o := {"p": input.arguments.payee}; not o.p.iban == "x" }`;
  const built = await toolchain.build(sources({ "authz.rego": policy }));
  expect(built.ok && built.policy.facts.requirements).toMatchObject([{ argumentsRead: [["payee", "iban"]] }]);
});

test("a grant or requirement that a missing field would open is warned of", async () => {
  const wanted = { severity: "warning", code: "optional_negated" };
  expect(await problemsOf(grant("not input.tenant.suspended"))).toMatchObject([wanted]);
  expect(await problemsOf("holds.y if not input.tenant.suspended")).toMatchObject([wanted]);
  expect(await problemsOf(grant("not p", "p if input.tenant.suspended"))).toMatchObject([wanted]);
});

test("nobody is sure to have an attribute, and what a schema requires by reference may be denied on", async () => {
  const denying = (path: string) => ({ "authz.rego": `package authz\n${deny(`${path} == "x"`)}` });
  const tenantSchema = { type: "object", properties: { dept: { $ref: "#/$defs/d" } }, required: ["dept"] };
  const codes = async (path: string) => {
    const given = {
      ...sources(denying(path)),
      tenantSchema: { ...tenantSchema, $defs: { d: { type: "string" } } },
    };
    return (await toolchain.check(given)).problems.map(({ code }) => code);
  };
  expect(await codes("input.tenant.dept")).toEqual(["nothing_granted"]);
  expect(await codes("input.principal.attributes.dept")).toContain(OPEN);
});

test("a schema that names some members and lets others pass may be read by those too", async () => {
  const open = { type: "object", properties: { plan: { type: "string" } }, additionalProperties: true };
  const policy = { "a.rego": `package authz\n${grant("input.tenant.other > 3")}` };
  expect(await toolchain.check({ files: policy, data: {}, tenantSchema: open })).toEqual({
    ok: true,
    problems: [],
  });
});

test("the next version of the language stays out: its `not` holds for what is missing", async () => {
  expect(await problemsOf(`import rego.v2\n${deny(`not input.server == "x"`)}`)).toMatchObject([
    { code: "rego_parse_error", row: 2 },
  ]);
});

test("without a tenant schema only the id is sure", async () => {
  const check = (body: string) =>
    toolchain.check({ files: { "a.rego": `package authz\n${body}` }, data: {}, tenantSchema: {} });
  expect((await check(grant("input.tenant.anything > 3"))).ok).toBe(true);
  expect((await check(deny(`input.tenant.id == "x"`))).ok).toBe(true);
  expect((await check(deny("input.tenant.anything > 3"))).ok).toBe(false);
});

refused("a requirement that is named must be defined", [
  [`grant contains {"reason": "x", "requires": ["nope"]}`, "requirement_unknown", "2:45", "holds.nope if"],
  [`grant contains {"reason": "x", "requires": ["a-b"]}`, "requirement_unknown", "2:45", `holds["a-b"] if`],
  [
    `limit contains {"requires": ["frsh"]}\nholds.fresh if input.server`,
    "requirement_unknown",
    "2:30",
    "did you mean fresh?",
  ],
  [
    `grant contains g if { g := {"reason": "x", "requires": ["nope"]} }`,
    "requirement_unknown",
    "2:57",
    "holds.nope",
  ],
]);

refused("a credential goes to one upstream, which the grant fixes", [
  [withCredential("input.server"), "credential_unbound", "2:1", `input.target.upstream == "crm"`],
  [
    withCredential(`input.target.upstream in {"crm"}`),
    "credential_unbound",
    "2:1",
    `input.target.upstream == "crm"`,
  ],
  [withCredential("input.target.upstream == input.server"), "credential_unbound", "2:1", `== "crm"`],
  [withCredential(`not input.target.upstream == "crm"`), "credential_unbound", "2:1", `== "crm"`],
  [withCredential(`[1 | input.target.upstream == "crm"]`), "credential_unbound", "2:1", `== "crm"`],
  [`grant contains g if some g in data.grants`, "credential_unbound", "2:1", `== "crm"`],
  [
    `grant contains {"reason": "x", "credential": {"role": "r"}} if input.target.upstream == "a"`,
    "credential_unnamed",
    "2:1",
    "source",
  ],
]);
accepted("a credential whose upstream is fixed", [
  withCredential(`input.target.upstream == "crm"`),
  withCredential(`"crm" == input.target.upstream`),
  `grant contains g if { some g in data.grants; input.target.upstream == "crm" }`,
]);

refused("the keys of grants, limits and bounds are closed", [
  [`grant contains {"reason": "x", "argument": {}}`, "key_unknown", "2:32", "did you mean arguments?"],
  [`grant contains {"reason": "x", "must_exist": true}`, "key_unknown", "2:32", "one of"],
  [`limit contains {"reason": "x"}`, "key_unknown", "2:17", "one of arguments, must_exist, requires"],
  [`limit contains {"arguments": {"a": {"maximun": 1}}}`, "key_unknown", "2:37", "did you mean maximum?"],
  [
    `limit contains {"arguments": {"a": {"items": {"patern": "x"}}}}`,
    "key_unknown",
    "2:47",
    "did you mean pattern?",
  ],
  [
    `limit contains {"arguments": {"a": {"properties": {"b": {"other": false}}}}}`,
    "key_unknown",
    "2:58",
    "did you mean others?",
  ],
  [
    `grant contains {"reason": "x", "credential": {"source": "a", "rol": "b"}} if input.target.upstream == "a"`,
    "key_unknown",
    "2:62",
    "did you mean role?",
  ],
  [`limit contains {"arguments": {"a": {"maximum": "x"}}}`, "value_type", "2:48", ""],
  [`limit contains {"arguments": {"a": {"pattern": "(?=x)"}}}`, "pattern_invalid", "2:48", "RE2"],
  [`grant contains {"arguments": {}}`, "reason_missing", "2:1", "reason"],
]);
/** [an element, what the engine says of it, where check says it, part of the hint] */
const MEANINGLESS: readonly (readonly ["grant" | "limit", string, string, string])[] = [
  ["limit", `{"arguments": {"a": {"format": "emial"}}}`, "2:47", "did you mean email?"],
  ["limit", `{"arguments": {"a": {"type": "int"}}}`, "2:45", "integer"],
  ["limit", `{"arguments": {"a": {"type": ["string", "nul"]}}}`, "2:56", "did you mean null?"],
  ["limit", `{"arguments": {"a": {"minLength": -1}}}`, "2:50", ""],
  ["limit", `{"arguments": {"a": {"maxItems": 1.5}}}`, "2:49", ""],
  ["limit", `{"arguments": {"a": {"multipleOf": 0}}}`, "2:51", ""],
  ["limit", `{"arguments": {"a": {"maximum": 9007199254740993}}}`, "2:48", "2^53"],
  ["limit", `{"arguments": {"a": {"enum": [1, 9007199254740993]}}}`, "2:45", "2^53"],
  ["limit", `{"arguments": {"a": {"maximum": 1e400}}}`, "2:48", "2^53"],
  ["limit", `{"arguments": {"a": {"set": 1, "maximum": 3}}}`, "2:36", "in one grant"],
  ["limit", `{"arguments": {"a": {"forbidden": true, "optional": true}}}`, "2:36", "in one grant"],
  ["limit", `{"arguments": {"a": {"forbidden": false}}}`, "2:50", "leave it out"],
  ["limit", `{"arguments": {"a": {"others": false}}}`, "2:36", "properties"],
  ["limit", `{"requires": ["a b"]}`, "2:30", "dashes"],
  ["grant", `{"reason": ""}`, "2:27", ""],
  ["grant", `{"reason": "x", "rank": 1.5}`, "2:40", ""],
  ["grant", `{"reason": "x", "interaction": ["sample"]}`, "2:48", "sampling"],
  ["grant", `{"reason": "x", "credential": {"source": "a", "ttl": 0}}`, "2:69", ""],
];
test.each(MEANINGLESS)("a %s that the engine would not take is refused: %s", async (kind, said, at, hint) => {
  const found = await problemsOf(
    `${kind} contains ${said} if input.target.upstream == "a"\nholds["a b"] if input.server`,
  );
  const told = found.filter(({ code }) => code === "value_invalid");
  expect(told.map(({ row, col }) => `${row}:${col}`)).toEqual([at]);
  expect(told[0]?.hint ?? "").toContain(hint);
  const value = JSON.parse(said);
  // What JSON.parse rounds is refused before it is parsed further.
  if (/9007199254740993|1e400/.test(said)) return;
  expect((kind === "grant" ? parseGrant : parseLimit)(value, "platform").ok).toBe(false);
});
refused("what means nothing further in has no key there", [
  [`limit contains {"arguments": {"a": {"items": {"optional": true}}}}`, "key_unknown", "2:47", "one of"],
  [`limit contains {"arguments": {"a": {"properties": {"b": {"set": 1}}}}}`, "key_unknown", "2:58", "one of"],
]);
const counted = (length: number) => "y{1,1000}".padStart(length, "x");
test.each([
  ["a".repeat(2000), true],
  ["a".repeat(2001), false],
  [counted(50), true],
  [counted(51), false],
  ["(a{1,30}){1,30}", true],
  [`(${"b".repeat(45)}a{1,30}){1,30}`, false],
])("a pattern is as large as the engine takes it: %.60s", async (pattern, taken) => {
  const found = await problemsOf(`limit contains {"arguments": {"a": {"pattern": "${pattern}"}}}`);
  expect(found.map(({ code }) => code)).toEqual(taken ? [] : ["pattern_invalid"]);
  expect(compilePattern(pattern) !== null).toBe(taken);
});
accepted("every format that the engine knows", [
  [...FORMATS.keys()]
    .map((format) => `limit contains {"arguments": {"${format}": {"format": "${format}"}}}`)
    .join("\n"),
]);
accepted("every key that there is", [
  `grant contains {"reason": "x", "rank": 1, "others": false, "interaction": ["elicitation"], "arguments": {
    "a": {"type": "string", "enum": ["x"], "pattern": "x+", "minLength": 1, "maxLength": 2, "format": "date", "optional": true},
    "b": {"minimum": 1, "maximum": 2, "exclusiveMinimum": 1, "exclusiveMaximum": 2, "multipleOf": 1},
    "c": {"items": {"const": 1}, "minItems": 1, "maxItems": 2, "uniqueItems": true},
    "d": {"properties": {"e": {"forbidden": true}}, "others": false},
    "f": {"set": {"any": "thing"}},
  }}`,
  `limit contains {"arguments": {k: {"maximum": v} | some k, v in input.tenant.quotas}, "must_exist": true}`,
]);

refused("rules of the contract have their shape", [
  [`grant := {"a": 1}`, "rule_shape", "2:1", "grant contains"],
  [`deny if input.server`, "rule_shape", "2:1", "deny contains"],
  [`deny contains {"x": 1}`, "rule_shape", "2:1", "deny contains"],
  [`limit contains "x"`, "rule_shape", "2:1", "limit contains"],
  [`holds[x] if some x in ["a"]`, "rule_shape", "2:1", "holds.fresh_login if"],
  [`holds contains "a"`, "rule_shape", "2:1", "holds.fresh_login if"],
  [`holds.a := 1`, "rule_shape", "2:1", "holds.fresh_login if"],
  [`holds.a.b if input.server`, "rule_shape", "2:1", "holds.fresh_login if"],
  [`default holds.a := false`, "rule_shape", "2:1", "holds.fresh_login if"],
  [`default holds.a := true`, "rule_shape", "2:1", "holds.fresh_login if"],
  [`holds.a if input.server == "a" else := false`, "rule_shape", "2:1", "holds.fresh_login if"],
  [`holds.a(x) if x == input.server`, "rule_shape", "2:1", "holds.fresh_login if"],
  [`deny.a contains "x" if input.server == "a"`, "rule_shape", "2:1", "deny contains"],
  [`deny contains "" if input.server == "a"`, "value_invalid", "2:15", ""],
]);

test.each(["{}", '{"arguments": {}}', '{"requires": [], "must_exist": true}'])(
  "a limit that limits nothing is warned of, at its place: %s",
  async (limit) => {
    const policy = `limit contains ${limit} if input.server == "a"`;
    expect(await problemsOf(policy)).toMatchObject([
      { severity: "warning", code: "limit_empty", row: 2, col: 1, hint: expect.stringContaining("maximum") },
    ]);
  },
);
accepted("a limit whose parts are computed may limit something", [
  `limit contains {"arguments": {"a": {}}} if input.server == "a"`,
  `limit contains {"arguments": {name: {"maximum": 3} | some name in ["a", "b"]}}`,
  `limit contains {"requires": input.tenant.blocked_ibans}`,
]);

test.each([
  ['holds.y if input.arguments.iban == "x"', "did you mean iban?"],
  ["holds.y if input.principal.auth_time > 0", ""],
])("what METADATA lets be absent is an argument that the requirement reads: %s", async (rule, hint) => {
  const metadata = "# METADATA\n# title: y\n# custom:\n#   optional: [ibna]\n";
  const told = {
    severity: "warning",
    code: "metadata_unknown",
    message: 'custom.optional: holds.y reads no argument "ibna"',
    row: 2,
  };
  const [problem, ...more] = await problemsOf(metadata + rule);
  expect({ ...problem, hint: problem?.hint ?? "" }).toMatchObject({ ...told, hint });
  expect(more).toEqual([]);
});

test.each([
  ['grant contains {\n"reason": "x"\n"rank": 1}', "4:1", "a comma or a closing bracket is missing"],
  ['deny["x"] { input.server == "x" }', "2:1", "if stands before the body: deny contains"],
  ['deny contains "x" if {\ninput.server == "x"\ndeny contains "y"', "4:6", "the body with a }"],
  ['deny contains "x" if input.server == "x', "2:38", "a quote is missing"],
  ['deny contains "x" if input.server == "x" and input.server == "y"', "2:42", "behind a ;"],
  ["deny contains 'x' if input.server == \"x\"", "2:15", "double quotes"],
  ['# METADATA\n# title: a: b\nholds.x if input.server == "x"', "3:1", "stands in quotes"],
])("one mistake of syntax is told once, with what to write: %s", async (policy, at, hint) => {
  const problems = (await problemsOf(policy)).map((one) => ({ ...one, at: `${one.row}:${one.col}` }));
  expect(problems).toMatchObject([{ code: "rego_parse_error", at, hint: expect.stringContaining(hint) }]);
});

const BUILTINS: Record<string, string> = {
  'replace("a", input.server, "b")': "strings.replace_n",
  'sprintf("%v", [1])': "template string",
  "numbers.range(1, 2)": "compare",
  "numbers.range_step(1, 2, 1)": "compare",
  'regex.split("a", "b")': "split(",
  'regex.replace("a", "b", "c")': "strings.replace_n",
  "http.send({})": "tenant's record",
  "opa.runtime()": "data",
  'yaml.unmarshal("x")': "json.unmarshal",
  'rand.intn("x", 2)': "random",
  'io.jwt.decode("x")': "input.principal",
  'crypto.sha256("x")': "digests",
};
refused(
  "a builtin that the engine lacks or gets wrong",
  Object.entries(BUILTINS).map(([call, hint]) => [grant(call), "builtin_refused", "2:37", hint]),
);
accepted("the clock, text and templates", [
  grant('time.weekday(time.now_ns()) == $"Mon{input.server}"'),
  grant(`time.clock([time.parse_rfc3339_ns("2026-01-01T00:00:00Z"), "Europe/Berlin"])[0] < 18`),
  grant(`strings.replace_n({"a": "b"}, input.server) == "b"`),
]);

refused("a requirement names the arguments it reads", [
  [`holds.y if count(input.arguments) > 1`, "arguments_unnamed", "2:18", "input.arguments.amount"],
  [`holds.y if input.arguments[input.server]`, "arguments_unnamed", "2:12", "input.arguments.amount"],
  [`holds.y if some a in input.arguments`, "arguments_unnamed", "2:12", "input.arguments.amount"],
  [
    `holds.y if f(input.arguments)\nf(a) if count(a) > 1`,
    "arguments_unnamed",
    "2:14",
    "input.arguments.amount",
  ],
]);
accepted("a requirement may hand arguments to a helper that names them", [
  `holds.y if f(input.arguments)\nf(a) if a.iban == "s"`,
]);

refused("a requirement's METADATA is what the caller is told", [
  [
    "# METADATA\n# title: t\n# custom:\n#   step_up: {max_ago: 3}\nholds.y if input.server",
    "metadata_invalid",
    "2:1",
    "did you mean max_age?",
  ],
  [
    "# METADATA\n# title: t\n# custom:\n#   step_up: {max_age: x}\nholds.y if input.server",
    "metadata_invalid",
    "2:1",
    "max_age: 300",
  ],
  [
    "# METADATA\n# title: t\n# custom:\n#   optional: iban\nholds.y if input.server",
    "metadata_invalid",
    "2:1",
    "optional: [iban]",
  ],
]);

test("policies that grant nothing are warned of", async () => {
  const check = async (source: string) => (await toolchain.check(sources({ "a.rego": source }))).problems;
  expect(await check("package other\np := 1")).toMatchObject([
    { severity: "warning", code: "nothing_granted" },
  ]);
  expect(await check(`package authz\ngrants contains {"reason": "x"}`)).toMatchObject([
    { code: "nothing_granted" },
    { severity: "warning", code: "rule_unasked", row: 2, hint: "did you mean grant?" },
  ]);
});

describe("what compiles and decides nothing is told", () => {
  const told = async (files: Readonly<Record<string, string>>, data = {}) =>
    (await toolchain.check(sources({ "authz.rego": REFUND, ...files }, data))).problems;

  test.each([
    ["a misspelt denial", 'package authz\ndenny contains "x"', "authz.denny", "did you mean deny?"],
    ["a denial in another package", 'package auth\ndeny contains "x"', "auth.deny", "package authz"],
    [
      "a denial in a package below",
      'package authz.money\ndeny contains "x"',
      "authz.money.deny",
      "package authz",
    ],
    [
      "a helper that nothing reads",
      'package authz\nadmin if input.server == "x"',
      "authz.admin",
      "one of deny, grant",
    ],
  ])("%s", async (_, source, name, hint) => {
    expect(await told({ "b.rego": source })).toMatchObject([
      {
        severity: "warning",
        code: "rule_unasked",
        file: "b.rego",
        row: 2,
        message: expect.stringContaining(`nothing asks for ${name}`),
        hint: expect.stringContaining(hint),
      },
    ]);
  });

  test("but nothing is said of a library, nor of what a rule reads by way of others", async () => {
    const helper = "package lib\nimport data.authz.lead\nunused := 1\nf(roles) if lead in roles";
    const source = `package authz\nimport data.lib\nlead := "lead"\ndeny contains "x" if lib.f(input.principal.roles)`;
    expect(await told({ "lib.rego": helper, "b.rego": source })).toEqual([]);
  });

  test("a requirement that nothing requires; one whose name is computed may be", async () => {
    const holds = 'package authz\n# METADATA\n# title: t\nholds.extra if input.server == "x"';
    expect(await told({ "b.rego": holds })).toMatchObject([
      { severity: "warning", code: "requirement_unused", row: 4, hint: '"requires": ["extra"]' },
    ]);
    const computed = `${holds}\nlimit contains {"requires": data.required}`;
    expect(await told({ "b.rego": computed }, { required: ["extra"] })).toEqual([]);
    const keyed = `${holds}\nlimit contains {data.key: ["extra"]}`;
    expect(await told({ "b.rego": keyed }, { key: "requires" })).toEqual([]);
  });
});

describe("data that is not there is refused: a denial that reads it would never apply", () => {
  const codes = async (source: string, data = {}, file = "b.rego") =>
    (await toolchain.check(sources({ "authz.rego": REFUND, [file]: source }, data))).problems.map(
      ({ code, row, col, hint }) => ({ code, at: `${row}:${col}`, hint }),
    );
  const DENY = `package authz\ndeny contains "x" if input.principal.subject in data.lists.blocked`;

  test("a misspelt name, a file that is gone, an import of nothing", async () => {
    const misspelt = await codes(DENY, { lists: { blokced: [] } });
    expect(misspelt).toEqual([{ code: "data_unknown", at: "2:49", hint: "did you mean blokced?" }]);
    expect(await codes(DENY)).toMatchObject([
      { code: "data_unknown", hint: expect.stringContaining("data.json") },
    ]);
    const imported = `package authz\nimport data.helpers\ndeny contains "x" if helpers.bad`;
    expect(await codes(imported)).toMatchObject([{ code: "data_unknown" }]);
  });

  test("what a rule or data defines, and what lies within, passes", async () => {
    expect(await codes(DENY, { lists: { blocked: ["mallory"] } })).toEqual([]);
    const within = `package authz\nlevel := {"a": {"b": 1}}\ndeny contains "x" if {
      level.a.b == 1\n  data.lists[0].name == "x"\n  some key; data.quotas[key].max == 1\n}`;
    expect(await codes(within, { lists: [{ name: "x" }], quotas: {} })).toEqual([]);
  });

  test("a test that asks for a rule that is not there; what it gives itself is there", async () => {
    const asks = "package t\nimport data.authz\ntest_x if not authz.denny";
    expect(await codes(asks, {}, "b_test.rego")).toMatchObject([{ code: "data_unknown", at: "3:15" }]);
    expect(await toolchain.test(sources({ "authz.rego": REFUND, "b_test.rego": asks }))).toMatchObject({
      ok: false,
      problems: [{ code: "data_unknown" }],
    });
    const gives = "package t\ntest_x if y with data.lists.y as 1\ny if data.lists.y";
    expect(await codes(gives, {}, "b_test.rego")).toEqual([]);
    const above = gives.replace("data.lists.y as 1", 'data.lists as {"y": 1}');
    expect(await codes(above, {}, "b_test.rego")).toEqual([]);
  });

  test("data has no part in the contract", async () => {
    const other = "package other\np := 1";
    expect(await codes(other, { authz: { holds: {} } })).toMatchObject([{ code: "data_reserved" }]);
    const grants = `package authz\ngrant contains {"reason": "x"}`;
    const { problems } = await toolchain.check(sources({ "a.rego": grants }, { authz: { deny: ["x"] } }));
    expect(problems).toMatchObject([{ code: "data_reserved" }]);
  });
});

test.each([
  ["or", 'deny contains "x" if input.server == "a" || input.server == "b"', "two rules of one name"],
  ["and", 'deny contains "x" if input.server == "a" and input.server == "b"', "a line of its own"],
  ["a shell's quotes", "deny contains 'x'", "double quotes"],
  ["v0", 'deny[msg] { msg := "x" }', 'deny contains "the reason" if {…}'],
  ["an escape", 'deny contains "x" if regex.match("\\d", "")', "in backquotes"],
  ["a bracket", 'deny contains "x" if {', "not closed"],
  ["a comma", 'grant contains {"reason": "x" "rank": 1}', "a comma"],
  [
    "a list and a text",
    'deny contains "x" if input.principal.roles == "x"',
    '"support" in input.principal.roles',
  ],
  ["a builtin that is none", 'deny contains "x" if starts_with("", "")', "no builtin"],
  ["a package without import", 'deny contains "x" if lib.f(1)', "import data.lib"],
  ["a name without a value", "deny contains msg if input.server", "nothing gives it a value"],
])("what OPA refuses comes with what to write: %s", async (_, rego, hint) => {
  const hints = (await problemsOf(rego)).map((one) => one.hint ?? "");
  expect(hints.join("\n")).toContain(hint);
});

refused("a text has no members, and such a condition never holds", [
  [deny('input.principal.roles in "x"'), "value_type", "2:24", '"support" in input.principal.roles'],
  [deny('not "x" in input.principal.subject'), "value_type", "2:24", '"support" in input.principal.roles'],
]);

test.each([
  ['{"minimum": 3, "maximum": 2}', "minimum 3 and maximum 2"],
  ['{"exclusiveMinimum": 0, "maximum": 0}', "exclusiveMinimum 0 and maximum 0"],
  ['{"minLength": 2, "maxLength": 1}', "minLength 2 and maxLength 1"],
  ['{"enum": []}', "enum is empty"],
])("a bound that lets nothing through is a warning: %s", async (bound, why) => {
  expect(await problemsOf(`limit contains {"arguments": {"a": ${bound}}}`)).toMatchObject([
    {
      severity: "warning",
      code: "bound_unmeetable",
      message: `authz.limit.arguments.a lets nothing through: ${why}`,
    },
  ]);
});

test("one mistake of the scanner is told once", async () => {
  const told = await problemsOf('deny contains "x" if regex.match("\\d", "")');
  expect(told.map(({ message }) => message)).toEqual(["illegal escape sequence"]);
});

test("types that do not fit are named", async () => {
  const [builtin] = await problemsOf('deny contains "x" if startswith(input.server, 5)');
  expect(builtin?.message).toBe(
    "startswith: invalid argument(s): have: (string, number), want: (search: string, base: string, result: boolean)",
  );
});

test("the gateway's own package and the paths of data are taken", async () => {
  const codes = async (source: string, data = {}) =>
    (await toolchain.check(sources({ "a.rego": source }, data))).problems.map((p) => p.code);
  expect(await codes("package portcullis.x\np := 1")).toContain("package_reserved");
  expect(await codes("package portcullis\np := 1")).toContain("package_reserved");
  expect(await codes("package authz\np := 1", { authz: { p: 2 } })).toContain("rego_compile_error");
});

test("unused imports and variables, and errors in tests, are found too", async () => {
  const files = {
    "a.rego": REFUND,
    "b.rego": "package b\nimport data.x",
    "a_test.rego": "package t\ntest_x if nope(1)",
  };
  const { ok, problems } = await toolchain.check(sources(files));
  expect(ok).toBe(false);
  expect(problems.map((p) => p.file)).toEqual(["b.rego"]);
  const { problems: inTests } = await toolchain.check(
    sources({ "a.rego": REFUND, "a_test.rego": files["a_test.rego"] }),
  );
  expect(inTests).toMatchObject([{ file: "a_test.rego", row: 2, code: "rego_type_error" }]);
});

test("the schema of the input requires every field, and moves the operator's references along", () => {
  const schema = inputSchema({
    ...tenantSchema,
    properties: { plan: { $ref: "#/$defs/plan" } },
    $defs: { plan: true },
  });
  expect(schema).toMatchObject({
    required: ["principal", "tenant", "target", "server", "context", "arguments"],
    properties: {
      tenant: {
        properties: { id: { type: "string" }, plan: { $ref: "#/properties/tenant/$defs/plan" } },
        required: ["id", "refund_limit", "blocked_ibans", "quotas", "rules"],
      },
    },
  });
});
