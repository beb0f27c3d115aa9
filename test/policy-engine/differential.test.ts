import fc from "fast-check";
import { afterAll, expect, test } from "vitest";
import { canonicalJson, type Json, type JsonObject } from "../../src/lib/json.ts";
import { createInstance, jsonBuffer, loadProgram } from "../../src/policy/instance.ts";
import { context, LIMITS, NOW, TENANT_SCHEMA, target, toolchain } from "./world.ts";

afterAll(() => toolchain.close());

/** What is wrong once is found again: the same operands in each run. */
const SEED = 20_261_126;
const EACH = 40;

const pick = (values: readonly Json[]) => fc.constantFrom(...values);
const CHARACTERS = [..."abK.,/ é😀\n", "\u0301", "\ud7ff", "\uffff", "ß", "İ", "ς", "Ǆ", "\u0085", "\0"];
const text = fc.array(pick(CHARACTERS), { maxLength: 5 }).map((some) => some.join(""));
const short = fc.array(pick(CHARACTERS), { maxLength: 1 }).map((some) => some.join(""));
const number = pick([
  0,
  1,
  -1,
  2,
  3,
  7,
  -7,
  0.5,
  1.5,
  2.5,
  -2.5,
  10,
  64,
  200,
  65_536,
  2 ** 31,
  2 ** 53 - 1,
  1e15,
]);
const small = pick([-1, 0, 1, 2, 3, 9]);
const any = fc.oneof(
  number,
  text,
  pick([true, false, null]),
  fc.array(fc.oneof(number, short), { maxLength: 3 }),
  fc.dictionary(short, fc.oneof(number, short), { maxKeys: 3 }),
) as fc.Arbitrary<Json>;
const list = (of: fc.Arbitrary<Json>) => fc.array(of, { maxLength: 4 }) as fc.Arbitrary<Json>;
const object = fc.dictionary(short, any, { maxKeys: 3 }) as fc.Arbitrary<Json>;
/** Of an empty one the module dies, and what asked is closed. */
const path = pick(["a", "/a", "a/0", "b/a", "a~1b", ["a"], ["b", "a"]]);
const pattern = pick([
  "a",
  "(a)(b)?",
  "",
  "(?i)k",
  "[^a]",
  "\\p{L}",
  "^",
  "\\b",
  "(?s).",
  "\\s+",
  "(a|ab)(b|c)",
  ".",
]);
const glob = pick(
  [
    "*",
    "**",
    "?",
    "[a-c]",
    "[!a]",
    "{a,b}",
    "a*",
    "*.b",
    "**.b",
    "\\*",
    "*a*b*",
    "",
    "é*",
    "*/*",
    "{a*,?b}",
  ].flatMap((one) => [one, `${one}.b`, `a/${one}`]),
);
const delimiters = pick([[], ["."], ["/"], [".", "/"], ["é"], null]);
const network = pick(
  [
    "10.0.0.0/8",
    "10.0.0.1",
    "10.1.2.3",
    "::ffff:10.1.2.3",
    "::ffff:10.0.0.0/104",
    "10.0.0.0/08",
    "10.0.0.0/+8",
  ].concat(
    [
      "10.0.0.0/8 ",
      "10.0.0.0/8\0",
      "10.0.0.0/8/9",
      "010.0.0.1",
      "10.1",
      "0.0.0.0/0",
      "::",
      "::1",
      "::/0",
      "::/80",
    ],
    ["fe80::1%eth0", "FE80::1", "fe80::/10", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7::", "1::2::3", "::1.2.3.4/96"],
    ["::ffff:0:0/96", "::ffff:0:0/90", "256.0.0.0", "10.0.0.0/33", "10.0.0.0/", "", "/", ":::", "10.0.0.5/8"],
  ),
);
const encoded = pick([
  "",
  "YQ",
  "YQ==",
  "YQ=",
  "YWI",
  "YWI=",
  "YWJj",
  "-_8=",
  "w6k",
  "w6k=",
  "w-k",
  "YQ==\n",
  "Y Q==",
  "YQ==YQ==",
  "====",
]);
const json = pick(
  [
    "{}",
    "1",
    "1e3",
    "01",
    "+1",
    ".5",
    "1.",
    '{"a":1,"a":2}',
    '{"a":1,}',
    "[1,]",
    "[1 2]",
    "1 2",
    "0x1",
    "{1:2}",
    "",
  ].concat([
    '"\\ud800"',
    '"\\\\ud800"',
    '"\\ud83d\\ude00"',
    '"\\x"',
    "'a'",
    " 1 ",
    "nul",
    "\ufeff1",
    "\u00a01",
    '"\t"',
    "1.e5",
  ]),
);
const digits = pick([
  "1",
  "-1",
  "1.5",
  "1e5",
  ".5",
  "1e400",
  "-",
  "1e",
  "",
  " 1",
  "0x10",
  "Infinity",
  "NaN",
  "x",
]);
const NS = [0, 1, -1, 1_780_000_000_000_000, 1_774_745_999_000_000, 951_782_400_000_000];
const moment = pick(NS.map((us) => us * 1000));
const zone = pick([
  "",
  "UTC",
  "Europe/Vienna",
  "Japan",
  "EST5EDT",
  "GB",
  "Asia/Kolkata",
  "PST",
  "europe/vienna",
  "+01:00",
]);
const later = pick([0, 1_780_000_000_000_000_000, 1_774_746_000_000_000_000]);

/** Every builtin that has operands to disagree about: the call, and what its operands are drawn from. */
const CALLS: readonly (readonly [call: string, ...operands: fc.Arbitrary<Json>[]])[] = [
  ["[A < B, A == B, A != B]", any, any],
  ["[A < B, A <= B]", text, text],
  ["[A + B, A - B, A * B]", small, number],
  ["A % B", number, number],
  ["[abs(A), ceil(A), floor(A), round(A)]", number],
  ["array.slice(A, B, C / 2)", list(any), small, small],
  ["array.concat(A, array.reverse(B))", list(any), list(any)],
  ["array.flatten([A, [B]])", any, list(any)],
  ["base64.decode(A)", encoded],
  ["base64.is_valid(A)", fc.oneof(encoded, any)],
  ["base64.encode(A)", text],
  ["base64url.decode(A)", encoded],
  ["[bits.and(A, B), bits.or(A, B), bits.xor(A, B), bits.negate(A)]", number, number],
  ["concat(A, {x | some x in B})", short, list(text)],
  ["concat(A, B)", short, list(fc.oneof(text, any))],
  ["[contains(A, B), startswith(A, B), endswith(A, B)]", text, short],
  ["indexof(A, B)", text, short],
  ["count(A)", any],
  ["format_int(A, 16)", number],
  ["format_int(A, 10)", fc.oneof(number, any)],
  ["glob.match(A, B, C)", glob, delimiters, text],
  ["[A in B, A in object.keys({A: B})]", any, list(any)],
  ["intersection({{x | some x in A}, {x | some x in B}})", list(any), list(any)],
  ["json.filter({A: B}, [C])", short, any, path],
  ["json.remove({A: B}, [C])", short, any, path],
  ["json.is_valid(A)", fc.oneof(json, any)],
  ["json.unmarshal(A)", json],
  ["[lower(A), upper(A), strings.reverse(A), trim_space(A)]", text],
  ["[max(A), min(A), sort(A)]", list(any)],
  ["[sum(A), product(A)]", list(small)],
  ["net.cidr_contains(A, B)", network, network],
  ["net.cidr_intersects(A, B)", network, network],
  ["object.get(A, B, C)", object, fc.oneof(short, list(short)), any],
  ["[object.union(A, B), object.remove(A, object.keys(B)), object.filter(A, B)]", object, object],
  ["object.union_n(A)", list(object)],
  ["regex.find_all_string_submatch_n(A, B, C)", pattern, text, pick([-2, -1, 0, 1, 2])],
  ["regex.match(A, B)", pattern, text],
  ["split(A, B)", text, short],
  ['strings.replace_n({A: B, B: C}, $"{A}{C}{B}")', pick(["a", "b", "é"]), pick(["c", "d"]), text],
  ["substring(A, B, C / 2)", text, small, small],
  ["to_number(A)", fc.oneof(digits, any)],
  ["[trim(A, B), trim_left(A, B), trim_right(A, B), trim_prefix(A, B), trim_suffix(A, B)]", text, text],
  ["{x | some x in A} | {x | some x in B}", list(any), list(any)],
  ["{x | some x in A} - {x | some x in B}", list(any), list(any)],
  ["type_name(A)", any],
  ["{[p, v] | walk(A, [p, v])}", any],
  ["[time.date(A), time.clock(A), time.weekday(A)]", moment],
  ["[time.date([A, B]), time.clock([A, B])]", later, zone],
  ["time.add_date(A, B, C, B)", moment, small, small],
];

/** One rule for each call: it takes its operands from data, so that nothing is known of them when it is compiled. */
function policy(): string {
  const rules = CALLS.map(([call], i) => {
    const written = call.replace(/\b([ABC])\b/g, (name) => `given[${"ABC".indexOf(name)}]`);
    return `cases["${i}"] contains [n, shown(value)] if { some n, given in data.operands["${i}"]; value := ${written} }`;
  });
  return `package authz
${rules.join("\n")}
cases.none contains 0 if false
shown(value) := sort(value) if is_set(value)
shown(value) := value if not is_set(value)
grant contains {"reason": json.marshal({i: sort(of) | some i, of in cases})} if input.target.kind == "tool"
`;
}

test("every builtin gives in the engine what OPA's own evaluator gives, of operands of all kinds", async () => {
  const operands = CALLS.map(([, ...from]) =>
    fc.sample(fc.tuple(...from), { seed: SEED, numRuns: EACH }).concat(),
  );
  const data = { operands: Object.fromEntries(operands.map((given, i) => [i, given as Json])) } as JsonObject;
  const sources = { files: { "authz.rego": policy() }, data, tenantSchema: TENANT_SCHEMA };
  const built = await toolchain.build(sources);
  if (!built.ok) throw new Error(JSON.stringify(built.problems));
  const limits = { ...LIMITS, steps: 0x7fffffff };
  const instance = createInstance(await loadProgram(built.policy.wasm, JSON.stringify(data), limits));
  const input = JSON.stringify({ ...context(), targets: [target()] });
  const [answer] = instance.evaluate("portcullis/capabilities", jsonBuffer(input), NOW, limits.steps) as {
    grants: { reason: string }[];
  }[];
  const query = "{i: sort(of) | some i, of in data.authz.cases}";
  const evaluated = await toolchain.eval(sources, { query, input: {}, now: BigInt(NOW) * 1_000_000_000n });
  if (!evaluated.ok) throw new Error(JSON.stringify(evaluated.problems));
  const engine = told(JSON.parse(answer?.grants[0]?.reason ?? "{}") as JsonObject, operands);
  const own = told(evaluated.report.results[0]?.value as JsonObject, operands);
  expect(own.filter(([, value]) => value !== "undefined").length).toBeGreaterThan(own.length / 3);
  expect(
    engine.filter(
      (one, at) => canonicalJson(one as unknown as Json) !== canonicalJson(own[at] as unknown as Json),
    ),
  ).toEqual([]);
});

/** Each call with its operands, and what it gave. */
function told(cases: JsonObject, operands: readonly (readonly unknown[])[]): readonly [string, Json][] {
  return CALLS.flatMap(([call], i) => {
    const values = new Map((cases[i] ?? []) as [number, Json][]);
    return (operands[i] ?? []).map((given, n): [string, Json] => [
      `${call} of ${JSON.stringify(given)}`,
      values.get(n) ?? "undefined",
    ]);
  });
}
