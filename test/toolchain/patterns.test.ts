import fc from "fast-check";
import { expect, test } from "vitest";
import type { JsonObject } from "../../src/lib/json.ts";
import { boundsFault } from "../../src/policy/bounds.ts";
import { createInstance, jsonBuffer, loadProgram } from "../../src/policy/instance.ts";
import { sources, toolchain } from "./support.ts";

/** Where Go, RE2 and re2js part: classes by other names, groups by name, bytes, counts; and what they all have. */
const PIECES = [
  ..."ab0é😀.|^$-".split(/(?:)/u),
  ...[
    "\\p{ASCII}",
    "\\p{lu}",
    "\\p{ Lu}",
    "\\p{Letter}",
    "\\p{punct}",
    "\\p{greek}",
    "\\p{Greek}",
    "\\p{^Lu}",
  ],
  ...[
    "\\p{Emoji}",
    "\\p{Uppercase}",
    "\\p{Cn}",
    "\\p{LC}",
    "\\p{Kawi}",
    "\\p{Garay}",
    "\\p{Any}",
    "\\pL",
    "\\PN",
  ],
  ...[
    "(?P<n>a)",
    "(?<n>a)",
    "(?P<n>b)",
    "(?=a)",
    "(?<!a)",
    "(?>a)",
    "(a)\\1",
    "\\C",
    "\\Qa.\\E",
    "\\Q",
    "(?i)k",
  ],
  ...[
    "[[:alpha:]]",
    "[[:foo:]]",
    "[^]a]",
    "[\\d-z]",
    "[]",
    "[\\p{ASCII}]",
    "\\z",
    "\\Z",
    "\\x{41}",
    "\\u0041",
    "\\_",
  ],
  ...[
    "a{,2}",
    "a{1001}",
    "a{1000}",
    "(a{30}){40}",
    "a**",
    "a??",
    "(",
    ")",
    "(?i",
    "(?s-i:.)",
    "(?x)a b",
    "\\/",
  ],
];
const corpus = () => [
  ...PIECES,
  ...fc
    .sample(fc.array(fc.constantFrom(...PIECES), { minLength: 2, maxLength: 4 }), 300)
    .map((some) => some.join("")),
];

/** The patterns that check refuses, where each stands in a rule of its own. */
async function refused(patterns: readonly string[], code: string, rule: (quoted: string) => string) {
  const body = patterns.map((pattern) => rule(JSON.stringify(pattern))).join("\n");
  const built = await toolchain.build(sources({ "authz.rego": `package authz\n${body}` }));
  const problems = built.ok ? [] : built.problems.filter((one) => one.code === code);
  return new Set(problems.map(({ row }) => patterns[row - 2] ?? ""));
}

const TEXTS = [
  "",
  "a",
  "b",
  "K",
  "\u212a",
  "é",
  "😀",
  "\n",
  "]",
  "ab",
  "aa",
  ".",
  "0",
  "-",
  "A",
  "\ud7ff",
  "Δ",
];

test("check takes a bound's pattern where the engine does, and no other", async () => {
  const patterns = corpus();
  const limit = (quoted: string) => `limit contains {"arguments": {"a": {"pattern": ${quoted}}}}`;
  const unfit = await refused(patterns, "pattern_invalid", limit);
  for (const pattern of patterns)
    expect(boundsFault({ x: { pattern } }, "arguments") === null, pattern).toBe(!unfit.has(pattern));
  expect(unfit.size).toBeGreaterThan(20);
});

test("check takes a rule's regular expression where the module and OPA do, and it means the same to both", async () => {
  const patterns = corpus();
  const deny = (quoted: string) => `deny contains "no" if regex.match(${quoted}, input.target.name)`;
  const unfit = await refused(patterns, "regex_invalid", deny);
  expect([...unfit]).toEqual(expect.arrayContaining(["\\p{ASCII}", "(?<n>a)", "(?=a)", "(", "\\C"]));
  const fit = patterns.filter((pattern) => !unfit.has(pattern));
  const rego = `package authz
found := {p: [t | some t in data.texts; regex.match(p, t)] | some p in data.patterns; regex.is_valid(p)}
grant contains {"reason": json.marshal(found)}`;
  const all = sources({ "authz.rego": rego }, { patterns: fit, texts: TEXTS });
  const built = await toolchain.build(all);
  if (!built.ok) throw new Error(JSON.stringify(built.problems));
  const limits = { steps: 0x7fffffff, memory: 256 * 1024 * 1024 };
  const instance = createInstance(await loadProgram(built.policy.wasm, JSON.stringify(all.data), limits));
  const input = jsonBuffer(JSON.stringify({ targets: [{}] }));
  const [answer] = instance.evaluate("portcullis/capabilities", input, 0, limits.steps) as {
    grants: { reason: string }[];
  }[];
  const engine = JSON.parse(answer?.grants[0]?.reason ?? "{}") as JsonObject;
  expect(Object.keys(engine).sort()).toEqual([...new Set(fit)].sort());
  const evaluated = await toolchain.eval(all, { query: "data.authz.found", input: {} });
  if (!evaluated.ok) throw new Error(JSON.stringify(evaluated.problems));
  for (const [pattern, texts] of Object.entries(evaluated.report.results[0]?.value as JsonObject))
    expect(engine[pattern], pattern).toEqual(texts);
});

test("a pattern is refused where it stands, also through a name, in a helper and in a comprehension", async () => {
  const built = await toolchain.build(
    sources({
      "authz.rego": `package authz
deny contains "lab" if regex.match("(?<lab>x)", input.target.name)
deny contains "lab" if { lab := \`\\p{ASCII}\`; regex.match(lab, input.target.name) }
is_lab(name) if count(regex.find_all_string_submatch_n("(", name, -1)) > 0
deny contains "lab" if is_lab(input.target.name)
deny contains "lab" if count([1 | regex.match("a{1001}", input.target.name)]) > 0`,
    }),
  );
  const refusals = built.ok ? [] : built.problems.filter(({ code }) => code === "regex_invalid");
  expect(refusals.map(({ row, col }) => `${row}:${col}`)).toEqual(["2:36", "3:33", "4:56", "6:47"]);
  expect(refusals[0]).toMatchObject({ severity: "error", message: expect.stringContaining("(?<lab>x)") });
});

test("a glob that the engine cannot read is refused where it stands", async () => {
  const deny = (quoted: string) => `deny contains "no" if glob.match(${quoted}, [], input.target.name)`;
  const globs = ["lab-*", "[a-z]*", "[", "{a,b", "lab-[!0-9]", "\\*"];
  expect([...(await refused(globs, "glob_invalid", deny))]).toEqual(["[", "{a,b"]);
});
