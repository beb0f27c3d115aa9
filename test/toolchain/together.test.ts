import { expect, test } from "vitest";
import { problemsOf, sources, toolchain } from "./support.ts";

const found = async (policy: string) => (await problemsOf(policy)).map(({ row, code }) => `${row} ${code}`);

const AHEAD = `grant contains {"reason": "x", "requires": ["frsh"]} if input.arguments.amount < 3
# METADATA
# title: fresh
holds.fresh if input.principal.auth_time > 3`;

test.each<[string, string, string]>([
  ["an unsafe variable", "deny contains x if input.server == y", "rego_unsafe_var_error"],
  ["an undefined function", "helper if nothing(input.server)", "rego_type_error"],
  ["a type error", `helper if startswith(3, "x")`, "rego_type_error"],
  ["a misspelt field", `deny contains "x" if input.principal.rolls == "x"`, "input_unknown"],
  ["an unused variable", "helper if x := input.server", "rego_compile_error"],
  ["an unused import", "import data.foo", "rego_compile_error"],
  ["a refused builtin", `helper if replace(input.server, "a", "b") == "x"`, "builtin_refused"],
  ["rules that conflict", "helper := 1\nhelper contains 2", "rego_type_error"],
])("%s, and what the contract refuses elsewhere, are told in one round", async (_, mistake, code) => {
  const [first, ...others] = await found(
    mistake.startsWith("import") ? `${mistake}\n${AHEAD}` : `${AHEAD}\n${mistake}`,
  );
  const all = [first, ...others];
  expect(all.filter((one) => one?.endsWith(code))).toHaveLength(1);
  expect(all.filter((one) => one?.endsWith("arguments_in_capability"))).toHaveLength(1);
  expect(all.filter((one) => one?.endsWith("requirement_unknown"))).toHaveLength(1);
  expect(all).toHaveLength(3);
});

test("what the compiler told is not told again: a field of a helper, of a grant, through an import", async () => {
  expect(
    await found(`import input.principal as who
grant contains {"reason": "x"} if who.rolls == "x"
deny contains "x" if { some r in input.principal.rolls; r == "x" }
f(p) if p.subjct == "x"
deny contains "y" if f(input.principal)`),
  ).toEqual(["3 input_unknown", "4 input_unknown", "5 input_unknown"]);
});

test("the contract follows helpers and imports also where the compiler gives up", async () => {
  expect(
    await found(`import input.arguments as given
grant contains {"reason": "x"} if small(given)
small(a) if a.amount < 3
deny contains "x" if y == 1`),
  ).toEqual(["4 arguments_in_capability", "5 rego_unsafe_var_error"]);
});

test.each([
  ["recursion", 'a if b\nb if a\ngrant contains {"reason": "x"} if { a; input.arguments.x }'],
  [
    "recursion that digs deeper each time",
    'f(x) if f(x.y)\ngrant contains {"reason": "x"} if f(input.principal)',
  ],
  ["a file that does not parse", "grant contains {"],
])("%s is told alone, and soon", async (_, policy) => {
  const problems = await problemsOf(policy);
  expect(problems.every(({ code }) => code.startsWith("rego_"))).toBe(true);
  expect(problems.length).toBeGreaterThan(0);
});

test("a build that is refused tells as much as a check", async () => {
  const files = { "a.rego": `package authz\n${AHEAD}\ndeny contains x if input.server == y` };
  const built = await toolchain.build(sources(files));
  expect(built.ok).toBe(false);
  expect(!built.ok && built.problems).toEqual((await toolchain.check(sources(files))).problems);
});
