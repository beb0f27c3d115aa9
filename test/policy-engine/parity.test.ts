import { afterAll, expect, test } from "vitest";
import type { Json } from "../../src/lib/json.ts";
import { HOST_BUILTINS } from "../../src/policy/builtins.ts";
import { createInstance, jsonBuffer, loadProgram } from "../../src/policy/instance.ts";
import { build, context, LIMITS, NOW, TENANT_SCHEMA, target, toolchain } from "./world.ts";

afterAll(() => toolchain.close());

const T = `${NOW}000000000`;
const ZONES = [
  "Europe/Vienna",
  "America/St_Johns",
  "Asia/Kolkata",
  "Australia/Lord_Howe",
  "Pacific/Apia",
  "Etc/GMT+5",
  "US/Eastern",
];
/** Around the changes of the clocks in Vienna in 2026, far ahead, at the epoch, and with nanoseconds. */
const MOMENTS = [
  "1774745999999999999",
  "1774746000000000000",
  "1792889999000000001",
  "1792890000000000000",
  "4102444800000000000",
  "1",
  T,
];
const TIMES = [
  "2026-02-28T23:59:60Z",
  "2026-02-29T00:00:00Z",
  "2024-02-29T23:59:59.123456789+05:30",
  "2026-01-01T1:00:00Z",
  "2262-04-11T23:47:16.854775807Z",
  "2262-04-11T23:47:16.854775808Z",
  "1677-09-21T00:12:43.145224192Z",
  "2026-01-01 00:00:00Z",
  "2026-01-01t00:00:00z",
  "2026-01-01T00:00:00,5-00:30",
  "x",
];
const DURATIONS = [
  "1h30m",
  "-1.5s",
  "1d12h",
  "1.23456789d",
  "0.33333333333333333333h",
  "1w",
  "292y",
  "293y",
  "0",
  "1",
  "",
  "1 h",
  ".5s",
  "\u00b5s",
  "3\u00b5s",
  "0.9999999999999999999999ns",
];

const CLOCK = [
  "time.now_ns()",
  "time.now_ns() / 1000000000",
  "time.now_ns() + 1",
  ...MOMENTS.flatMap((ns) => ["date", "clock", "weekday"].map((name) => `time.${name}(${ns})`)),
  ...MOMENTS.flatMap((ns) =>
    ZONES.flatMap((zone) => [`time.date([${ns}, "${zone}"])`, `time.clock([${ns}, "${zone}"])`]),
  ),
  ...MOMENTS.map((ns) => `time.add_date(${ns}, 1, -13, 29)`),
  ...[
    "time.date(9223372036854775808)",
    "time.date(1.5)",
    `time.clock([${T}, "Nowhere/Else"])`,
    `time.clock([${T}, "europe/vienna"])`,
  ],
  ...[`time.clock([${T}, "PST"])`, `time.add_date(${T}, 300, 0, 0)`, "time.clock(-1)"],
  ...TIMES.map((text) => `time.parse_rfc3339_ns(${JSON.stringify(text)})`),
  ...DURATIONS.map((text) => `time.parse_duration_ns(${JSON.stringify(text)})`),
];

const NATIVE = [
  ...[
    "1e21 == 1000000000000000000000",
    "0.1 + 0.2",
    "9007199254740993 - 1",
    "7 % 3",
    "round(2.5)",
    "1 / 3",
    "-0",
  ],
  ...[
    "null < false",
    `"a" < [1]`,
    "1 < true",
    `[1] < {"a": 1}`,
    `upper("ß\u0131i")`,
    `lower("ÀÉ")`,
    `substring("aéx😀y", 1, 3)`,
  ],
  ...[
    'split("a,b,,c", ",")',
    'trim("  a ", " ")',
    'concat("-", ["b", "a"])',
    'sort(["b", "a", 2, null])',
    'contains("aXb", "X")',
  ],
  ...[
    'regex.match("^[a-z]+$", "abc\\n")',
    'regex.match("(?i)É", "é")',
    'regex.match("\\\\bfoo\\\\b", "a foo b")',
  ],
  ...[
    'glob.match("*.example.com", ["."], "a.b.example.com")',
    'glob.match("**.example.com", ["."], "a.b.example.com")',
  ],
  ...[
    'net.cidr_contains("10.0.0.0/8", "10.1.2.3")',
    'net.cidr_contains("::/0", "10.1.2.3")',
    'base64.encode("ü")',
  ],
  ...[
    'json.unmarshal("{\\"a\\": 1e2}")',
    'json.is_valid("{\\"a\\": 1e2}")',
    'json.is_valid("{")',
    'to_number("1.50")',
    'to_number("x")',
  ],
  ...[
    '$"a {1} {input.principal.attributes.team} {[1, "x"]}"',
    'object.get({"a": {"b": 1}}, ["a", "b"], 0)',
    "union({{1}, {2}}) == {1, 2}",
  ],
  ...[
    'strings.replace_n({"a": "b"}, "aca")',
    "array.slice([1, 2, 3], 1, 9)",
    "type_name({1})",
    'to_number("0x10")',
    "format_int(255, 16)",
  ],
];

const DEEP = `${"[".repeat(40)}1${"]".repeat(40)}`;
/** What the language itself does, of which nobody says how. */
const LANGUAGE = [
  ...[
    "[x | some x in [1, 2, 3]; not x in {2}]",
    '{x: y | some x, y in {"a": 1, "b": 2}}',
    'count({x | some x in [1, 1.0, "1", true, 1e0]})',
    '{1: "int"}[1.0]',
    '{[1, {"a": 2}]: "deep"}[[1, {"a": 2}]]',
    "{null: 1, true: 2}[null]",
    '[a | [a, {"b": [_, c]}] := [1, {"b": [2, 3]}]; c == 3]',
    "[a | [a, a] = [1, 2]]",
    '[a | {"x": a, "y": 2} = {"x": 1, "y": 2}]',
  ],
  ...[
    "[1 | every x in [] { x == 1 }]",
    "[1 | every x in [1, 2] { x > 1 }]",
    '[1 | every k, v in {"a": 1} { k == "a"; v == 1 }]',
    "[1 | every x in 5 { x == 1 }]",
    "[1 | every x in input.target.announced.absent { x == 1 }]",
    "[1 | not input.target.announced.absent]",
    "[1 | not input.target.announced.absent == 1]",
    "[1 | not false]",
    "[1 | not 0]",
    "[1 | false == input.target.announced.absent]",
  ],
  ...[
    "9007199254740993 == 9007199254740992",
    "9007199254740993 + 0.0",
    "0.1 + 0.2 == 0.3",
    "0.1 * 3",
    "10 / 4",
    "7 % -3",
    "-7 % 3",
    "5 % 0",
    "5.5 % 2",
    "1 / 0",
    "2 * 3 == 6.0",
    "1e3 == 1000",
    "100000000000000000000 + 1",
    "-5 - -5",
    "round(-2.5)",
    "floor(-1.5)",
    "ceil(1.2)",
  ],
  ...[
    '"\\ud83d\\ude00" > "\\uffff"',
    '"Z" < "a"',
    '"a" < "B"',
    '"\\u00e9" == "e\\u0301"',
    '{"a": 1} < {"a": 2}',
    '{"a": 2} < {"b": 1}',
    "[1, 2] < [1, 2, 0]",
    "{1, 2} < {1, 3}",
    "{3} < {1, 2}",
    'sort([{1}, {"a": 1}, [1], "a", 1, true, null])',
    '[null, false, true, 0, "", [], {}] == sort([{}, [], "", 0, true, false, null])',
  ],
  ...[
    "partial",
    "partial[1.5]",
    "defaulted(1)",
    "defaulted(2)",
    "chain(0)",
    "chain(5)",
    'chain("x")',
    "nested.a.b",
    "nested.a[1]",
    "ordered",
    "count(large)",
    "sum(large)",
    "large[1999]",
    "[x | some x in large; x % 500 == 0]",
    `${DEEP}${"[0]".repeat(40)}`,
    "count([1 | some a in [1, 2, 3]; some b in [1, 2, 3]; a < b])",
    '[x | some [x, "k"] in [[1, "k"], [2, "l"]]]',
    '[i | some i, "b" in ["a", "b", "b"]]',
    '{"a": {1, 2}}.a - {1}',
    '$"{[x | some x in [1, 2]]}{input.target.announced.absent}"',
    "object.get({1: 2}, 1, 0)",
  ],
];
const HELPERS = `
partial[1.5] := "half"
partial[[1, "a"]] := "list" if true
partial[null] := 0
default defaulted(_) := "else"
defaulted(x) := "one" if x == 1
chain(x) := "zero" if x == 0 else := "five" if x == 5 else := "other"
nested.a.b := 1
nested.a[x] := x * 2 if some x in [1, 2]
default ordered := "no"
ordered := "yes" if false
large := [x | some a in digits; some b in digits; some c in digits; some d in [0, 1]; x := (((d * 10) + a) * 10 + b) * 10 + c]
digits := [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
`;

/** Index -> value in OPA's own evaluator and in the engine, in the order of sets; what is undefined is absent. */
async function both(expressions: readonly string[], helpers = ""): Promise<{ own: Json; engine: Json }> {
  const cases = expressions.map((expression, i) => `cases["${i}"] := ${expression}`).join("\n");
  const rego = `told := json.marshal(cases)\n${cases}\n${helpers}`;
  const sources = {
    files: { "authz.rego": `package authz\n\n${rego}\n` },
    data: {},
    tenantSchema: TENANT_SCHEMA,
  };
  const request = { query: "data.authz.cases", input: {}, now: BigInt(T) };
  const evaluated = await toolchain.eval(sources, request);
  if (!evaluated.ok) throw new Error(JSON.stringify(evaluated.problems));
  // Compiled as a build compiles, which would refuse calls that never have a value.
  const tried = await toolchain.trial(sources, ["data.authz.told"]);
  if (!tried.ok) throw new Error(JSON.stringify(tried.problems));
  const { wasm, entrypoints } = tried.trial;
  const program = await loadProgram(Buffer.from(wasm ?? "", "base64"), "{}", LIMITS);
  const input = jsonBuffer(JSON.stringify({ ...context(), target: target() }));
  const told = createInstance(program).evaluate(
    entrypoints["data.authz.told"] ?? "",
    input,
    NOW,
    LIMITS.steps,
  );
  return {
    own: evaluated.report.results[0]?.value ?? null,
    engine: JSON.parse(String(told)) as Json,
  };
}

test.each([
  ["the clock builtins", CLOCK],
  ["builtins of the module itself", NATIVE],
  ["constructs of the language", LANGUAGE, HELPERS],
])("%s give what OPA's own evaluator gives", async (_, expressions, helpers = "") => {
  const { own, engine } = await both(expressions, helpers);
  const named = (values: Json) =>
    expressions.map((text, i) => [text, (values as Record<string, Json>)[i] ?? "undefined"]);
  expect(named(engine)).toEqual(named(own));
});

test("times are exact to the nanosecond, beyond what a double holds", () => {
  expect(HOST_BUILTINS["time.add_date"]?.(["1780000000123456789", "0", "0", "1"], NOW)).toBe(
    "1780086400123456789",
  );
  expect(HOST_BUILTINS["time.parse_rfc3339_ns"]?.(['"2026-05-28T20:26:40.123456789Z"'], NOW)).toBe(
    "1780000000123456789",
  );
  expect(HOST_BUILTINS["time.now_ns"]?.([], NOW)).toBe(T);
});

test("the host has every builtin that the toolchain lets a policy call, and that the module lacks", async () => {
  const others = Object.keys(HOST_BUILTINS).filter(
    (name) => name !== "time.now_ns" && name !== "time.add_date",
  );
  const of = (name: string) =>
    /cidr|format_int/.test(name) ? "input.arguments.x, input.arguments.y" : "input.arguments.x";
  const rego = others
    .map((name) => `holds.${name.replace(".", "_")} if count([${name}(${of(name)})]) == 1`)
    .join("\n");
  const { wasm } = await build(
    `grant contains {"reason": "x"} if time.add_date(time.now_ns(), 0, 0, 0) > 0\n${rego}`,
  );
  await expect(loadProgram(wasm, "{}", LIMITS)).resolves.toBeDefined();
});
