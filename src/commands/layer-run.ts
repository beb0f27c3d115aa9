import { join } from "node:path";
import type { TestCase, Toolchain } from "../policy/toolchain.ts";
import { type Difference, type Tried, tryTests } from "../policy/trial.ts";
import { type LayerFiles, placed } from "./layers.ts";
import type { Printable } from "./load.ts";

/** What the tests of one layer came to. */
export interface LayerRun {
  readonly name: string;
  readonly directory: string;
  readonly passed: number;
  readonly skipped: number;
  readonly failures: readonly Printable[];
  /** Of the failures, those that come out otherwise in the module that serves. */
  readonly differed: number;
  /** What comes out the same there. */
  readonly agreed: number;
  /** What OPA's evaluator alone could check, and why. */
  readonly alone: number;
  readonly warnings: readonly Printable[];
  /** 0 to 100; null: nothing was run. */
  readonly percent: number | null;
  readonly uncovered: readonly { readonly file: string; readonly rows: readonly number[] }[];
  /** Why the tests could not be run. */
  readonly problems: readonly Printable[];
}

const NOTHING = {
  passed: 0,
  skipped: 0,
  failures: [],
  differed: 0,
  agreed: 0,
  alone: 0,
  warnings: [],
  percent: null,
  uncovered: [],
};

/** @param now seconds since the epoch: one clock for both who run the tests */
export async function runLayer(
  { name, directory, sources }: LayerFiles,
  toolchain: Pick<Toolchain, "test" | "trial">,
  now: number,
  run = "",
): Promise<LayerRun> {
  const tested = await toolchain.test(sources, { run, coverage: true, now: BigInt(now) * 1_000_000_000n });
  if (!tested.ok) {
    const problems = tested.problems.map((one) => placed(one, directory));
    return { ...NOTHING, name, directory, problems };
  }
  const { tests, coverage, warnings } = tested.report;
  const { agreed, differing, alone } = await tryTests(sources, tests, toolchain, now);
  const differs = new Set(differing.map(({ test }) => keyOf(test)));
  const of = (outcome: TestCase["outcome"]) =>
    tests.filter((one) => one.outcome === outcome && !differs.has(keyOf(one)));
  return {
    name,
    directory,
    passed: of("pass").length,
    skipped: of("skip").length,
    failures: [
      ...[...of("fail"), ...of("error")].map((one) => failure(one, directory)),
      ...differing.map((one) => difference(one, directory)),
    ],
    differed: differing.length,
    agreed,
    alone: alone.length,
    warnings: [...warnings.map((one) => placed(one, directory)), ...aloneFor(alone, directory)],
    percent: tests.length === 0 ? null : (coverage?.percent ?? null),
    uncovered: Object.entries(coverage?.files ?? {})
      .filter(([, { notCovered }]) => notCovered.length > 0)
      .map(([file, { notCovered }]) => ({ file: join(directory, file), rows: notCovered })),
    problems: [],
  };
}

function keyOf({ package: of, name }: TestCase): string {
  return `${of}.${name}`;
}

function placeOf({ file, row, col }: TestCase, directory: string) {
  return { file: join(directory, file), row, col };
}

function failure(test: TestCase, directory: string): Printable {
  const { name, file, row, failedAt } = test;
  return {
    code: "test_failed",
    message: name,
    file: join(directory, failedAt?.file || file),
    row: failedAt?.row ?? row,
    col: 0,
    hint: found(test).join("\n"),
  };
}

const SAID = { pass: "passes", fail: "fails", error: "ends in an error", skip: "is skipped" } as const;

function difference({ test, module, fault }: Difference, directory: string): Printable {
  return {
    ...placeOf(test, directory),
    code: "test_differs",
    message: `${test.name}: ${SAID[test.outcome]} in OPA's evaluator, ${SAID[module]} in the module that serves`,
    hint: [
      ...(fault === "" ? [] : [fault]),
      ...found(test),
      "the module decides: write the rule, and the test, so that both agree (docs/policy.md, Avoid the traps)",
    ].join("\n"),
  };
}

/** One finding for each reason: it may be the same for all tests. */
function aloneFor(alone: Tried["alone"], directory: string): readonly Printable[] {
  return [...new Set(alone.map(({ reason }) => reason))].map((hint) => {
    const [first, ...others] = alone.filter(({ reason }) => reason === hint).map(({ test }) => test);
    const more = others.length === 0 ? "" : ` and ${others.length} more`;
    return {
      ...placeOf(first as TestCase, directory),
      severity: "warning",
      code: "test_alone",
      message: `${first?.name}${more}: checked by OPA's evaluator alone`,
      hint,
    };
  });
}

/** What OPA's evaluator found. */
function found({ failedAt, error, output }: TestCase): readonly string[] {
  const values = Object.entries(failedAt?.values ?? {}).map(
    ([term, value]) => `${term} = ${JSON.stringify(value)}`,
  );
  return [
    ...(failedAt === null ? [] : [failedAt.expression, ...values]),
    ...(error === "" ? [] : [error]),
    ...(output === "" ? [] : [`printed: ${output.trimEnd()}`]),
  ];
}
