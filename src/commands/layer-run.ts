import { join } from "node:path";
import type { TestCase, Toolchain } from "../policy/toolchain.ts";
import { type LayerFiles, placed } from "./layers.ts";
import type { Printable } from "./load.ts";

/** What the tests of one layer came to. */
export interface LayerRun {
  readonly name: string;
  readonly directory: string;
  readonly passed: number;
  readonly skipped: number;
  readonly failures: readonly Printable[];
  /** 0 to 100; null: nothing was run. */
  readonly percent: number | null;
  readonly uncovered: readonly { readonly file: string; readonly rows: readonly number[] }[];
  /** Why the tests could not be run. */
  readonly problems: readonly Printable[];
}

export async function runLayer(
  { name, directory, sources }: LayerFiles,
  toolchain: Pick<Toolchain, "test">,
  run = "",
): Promise<LayerRun> {
  const tested = await toolchain.test(sources, { run, coverage: true });
  const none = { name, directory, passed: 0, skipped: 0, failures: [], percent: null, uncovered: [] };
  if (!tested.ok) return { ...none, problems: tested.problems.map((one) => placed(one, directory)) };
  const { tests, coverage } = tested.report;
  const of = (outcome: TestCase["outcome"]) => tests.filter((one) => one.outcome === outcome);
  return {
    ...none,
    passed: of("pass").length,
    skipped: of("skip").length,
    failures: [...of("fail"), ...of("error")].map((one) => failure(one, directory)),
    percent: tests.length === 0 ? null : (coverage?.percent ?? null),
    uncovered: Object.entries(coverage?.files ?? {})
      .filter(([, { notCovered }]) => notCovered.length > 0)
      .map(([file, { notCovered }]) => ({ file: join(directory, file), rows: notCovered })),
    problems: [],
  };
}

function failure({ name, file, row, failedAt, error, output }: TestCase, directory: string): Printable {
  const values = Object.entries(failedAt?.values ?? {}).map(
    ([term, value]) => `${term} = ${JSON.stringify(value)}`,
  );
  const lines = [
    ...(failedAt === null ? [] : [failedAt.expression, ...values]),
    ...(error === "" ? [] : [error]),
    ...(output === "" ? [] : [`printed: ${output.trimEnd()}`]),
  ];
  return {
    code: "test_failed",
    message: name,
    file: join(directory, failedAt?.file || file),
    row: failedAt?.row ?? row,
    col: 0,
    hint: lines.join("\n"),
  };
}
