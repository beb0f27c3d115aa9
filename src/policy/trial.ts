import { isJsonObject } from "../lib/json.ts";
import { loadProgram } from "./instance.ts";
import { createInstancePool, type Evaluation } from "./instance-pool.ts";
import { POLICY_LIMITS } from "./store.ts";
import type { Toolchain } from "./toolchain.ts";
import type { PolicySources, TestCase } from "./toolchain-types.ts";

type Said = Exclude<TestCase["outcome"], "skip">;

/** A test, or one case of it, of which the module says something else than OPA's evaluator. */
export interface Difference {
  /** As the evaluator had it. */
  readonly test: TestCase;
  readonly module: Said;
  /** Why the module could not say, or "". */
  readonly fault: string;
}

/** What the module that serves makes of the tests that OPA's evaluator ran. */
export interface Tried {
  /** Tests and cases that come out the same. */
  readonly agreed: number;
  readonly differing: readonly Difference[];
  /** No module holds these, so that the evaluator alone checked them. */
  readonly alone: readonly { readonly test: TestCase; readonly reason: string }[];
}

/**
 * Evaluates tests in a module that is built like the one that serves, under its host and its limits: a policy means what
 * the module makes of it, and where a test that passes would fail there, OPA's evaluator promised too much.
 *
 * @param now seconds since the epoch, where the evaluator's clock stood
 */
export async function tryTests(
  sources: PolicySources,
  ran: readonly TestCase[],
  toolchain: Pick<Toolchain, "trial">,
  now: number,
): Promise<Tried> {
  const rules = byRule(ran.filter(({ outcome }) => outcome !== "skip"));
  const answer = await openModule(sources, [...rules.keys()], toolchain, now);
  const tried = [...rules].map(([rule, cases]) => compared(cases, answer(rule)));
  return {
    agreed: tried.reduce((sum, one) => sum + one.agreed, 0),
    differing: tried.flatMap((one) => one.differing),
    alone: tried.flatMap((one) => one.alone),
  };
}

/** The cases of each rule, by the rule's full name. */
function byRule(ran: readonly TestCase[]): ReadonlyMap<string, readonly TestCase[]> {
  const rules = new Map<string, TestCase[]>();
  for (const one of ran) {
    const rule = `${one.package}.${one.test}`;
    rules.set(rule, [...(rules.get(rule) ?? []), one]);
  }
  return rules;
}

type Answer = Evaluation | { readonly alone: string };

/** Built once; each test is an evaluation of its own. */
async function openModule(
  sources: PolicySources,
  rules: readonly string[],
  toolchain: Pick<Toolchain, "trial">,
  now: number,
): Promise<(rule: string) => Answer> {
  if (rules.length === 0) return () => ({ alone: "" });
  const built = await toolchain.trial(sources, rules);
  if (!built.ok) return () => ({ alone: built.problems.map(({ message }) => message).join("; ") });
  const { wasm, entrypoints, alone } = built.trial;
  if (wasm === null) return (rule) => ({ alone: alone[rule] ?? "" });
  const { steps } = POLICY_LIMITS;
  const program = await loadProgram(
    Buffer.from(wasm, "base64"),
    JSON.stringify(sources.data),
    POLICY_LIMITS,
  ).catch((thrown: unknown) => String(thrown));
  if (typeof program === "string") return () => ({ alone: program });
  const pool = createInstancePool(1);
  return (rule) => {
    const entrypoint = entrypoints[rule];
    if (entrypoint === undefined) return { alone: alone[rule] ?? "" };
    return pool.evaluate(program, entrypoint, NO_INPUT, now, { steps });
  };
}

/** A test has the input that it gives itself. */
const NO_INPUT = "";

function compared(cases: readonly TestCase[], answer: Answer): Tried {
  const [first] = cases as readonly [TestCase];
  if ("alone" in answer)
    return { agreed: 0, differing: [], alone: cases.map((test) => ({ test, reason: answer.alone })) };
  const evaluator = new Map(cases.map((test) => [test.name, test]));
  const module = new Map(answer.ok ? outcomesOf(first.test, answer.value) : []);
  const differing = [...new Set([...evaluator.keys(), ...module.keys()])].flatMap((name): Difference[] => {
    const test = evaluator.get(name) ?? { ...first, name, outcome: "fail" };
    const said = answer.ok ? (module.get(name) ?? "fail") : "error";
    return said === test.outcome ? [] : [{ test, module: said, fault: answer.ok ? "" : answer.fault }];
  });
  const differs = new Set(differing.map(({ test }) => test.name));
  return { agreed: cases.filter(({ name }) => !differs.has(name)).length, differing, alone: [] };
}

/** As the tester reads a test's value: true passes; an object has a case for each key, and one without any tried nothing. */
function outcomesOf(name: string, value: unknown): (readonly [name: string, outcome: Said])[] {
  if (!isJsonObject(value)) return [[name, value === true ? "pass" : "fail"]];
  const cases = Object.entries(value);
  return cases.length === 0
    ? [[name, "fail"]]
    : cases.flatMap(([key, of]) => outcomesOf(`${name}/${key}`, of));
}
