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

/** Index -> value in OPA's own evaluator and in the engine, in the order of sets; what is undefined is absent. */
async function both(expressions: readonly string[]): Promise<{ own: Json; engine: Json }> {
  const cases = expressions.map((expression, i) => `cases["${i}"] := ${expression}`).join("\n");
  const rego = `grant contains {"reason": json.marshal(cases)} if input.target.kind == "tool"\n${cases}`;
  const files = { "authz.rego": `package authz\n\n${rego}\n` };
  const request = { query: "data.authz.cases", input: {}, now: BigInt(T) };
  const evaluated = await toolchain.eval({ files, data: {}, tenantSchema: TENANT_SCHEMA }, request);
  if (!evaluated.ok) throw new Error(JSON.stringify(evaluated.problems));
  const program = await loadProgram((await build(rego)).wasm, "{}", LIMITS);
  const input = jsonBuffer(JSON.stringify({ ...context(), targets: [target()] }));
  const value = createInstance(program).evaluate("portcullis/capabilities", input, NOW, LIMITS.steps);
  const [answer] = value as { grants: { reason: string }[] }[];
  return {
    own: evaluated.report.results[0]?.value ?? null,
    engine: JSON.parse(answer?.grants[0]?.reason ?? "null") as Json,
  };
}

test.each([
  ["the clock builtins", CLOCK],
  ["builtins of the module itself", NATIVE],
])("%s give what OPA's own evaluator gives", async (_, expressions) => {
  const { own, engine } = await both(expressions);
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
  const texts = Object.keys(HOST_BUILTINS).filter(
    (name) => name !== "time.now_ns" && name !== "time.add_date",
  );
  const rego = texts
    .map((name) => `holds.${name.replace(".", "_")} if ${name}(input.arguments.x) != null`)
    .join("\n");
  const { wasm } = await build(
    `grant contains {"reason": "x"} if time.add_date(time.now_ns(), 0, 0, 0) > 0\n${rego}`,
  );
  await expect(loadProgram(wasm, "{}", LIMITS)).resolves.toBeDefined();
});
