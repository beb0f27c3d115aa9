import { stat } from "node:fs/promises";
import { dirname, join, relative, resolve } from "node:path";
import type { Config } from "../config/config.ts";
import { systemClock } from "../lib/clock.ts";
import { createToolchain, type Toolchain } from "../policy/toolchain.ts";
import type { CommonOptions, ExitCode, Surroundings } from "./command.ts";
import { type GoldenRun, runGolden } from "./golden-run.ts";
import { type LayerRun, runLayer } from "./layer-run.ts";
import { type Layers, readLayers } from "./layers.ts";
import { loadOrTell, type Printable, problemLines } from "./load.ts";
import { columns, count, json, paintFor, printableLines } from "./print.ts";

export interface TestCommandOptions extends CommonOptions {
  readonly coverage?: boolean;
  readonly run?: string;
  readonly cases?: string;
}

/** `portcullis test`: the `_test.rego` files of every layer, then the golden cases. */
export async function test(options: TestCommandOptions, around: Surroundings): Promise<ExitCode> {
  const config = await loadOrTell(options, around);
  if (config === null) return 2;
  const filter = filterOf(options.run);
  if (filter === null) {
    around.stderr.write(`portcullis: --run is no regular expression: ${options.run}\n`);
    return 2;
  }
  const folder = await casesOf(options, config, around);
  if (folder === undefined) {
    around.stderr.write(`portcullis: there is no folder ${options.cases}\n`);
    return 2;
  }
  const toolchain = createToolchain();
  try {
    return tell(await runAll({ options, config, folder, filter, toolchain }), options, around);
  } finally {
    await toolchain.close();
  }
}

interface Asked {
  readonly options: TestCommandOptions;
  readonly config: Config;
  /** Of the cases, or null. */
  readonly folder: string | null;
  readonly filter: RegExp;
  readonly toolchain: Toolchain;
}

interface Ran {
  readonly layers: readonly LayerRun[];
  readonly golden: GoldenRun | null;
  readonly problems: readonly Printable[];
}

async function runAll({ options, config, folder, filter, toolchain }: Asked): Promise<Ran> {
  const read: Layers = await readLayers(config);
  const layers: LayerRun[] = [];
  const now = Math.floor(systemClock() / 1000);
  for (const layer of read.layers) layers.push(await runLayer(layer, toolchain, now, options.run));
  const problems = [...read.problems, ...layers.flatMap((layer) => layer.problems)];
  // What does not compile decides nothing.
  if (folder === null || problems.length > 0) return { layers, golden: null, problems };
  const golden = await runGolden({ config, folder, filter, toolchain });
  return { layers, golden, problems: golden.problems };
}

function tell(
  { layers, golden, problems }: Ran,
  options: TestCommandOptions,
  around: Surroundings,
): ExitCode {
  const sum = (of: (layer: LayerRun) => number) => layers.reduce((total, layer) => total + of(layer), 0);
  const passed = sum((one) => one.passed) + (golden?.passed ?? 0);
  const skipped = sum((one) => one.skipped);
  const again = {
    agreed: sum((one) => one.agreed),
    differed: sum((one) => one.differed),
    alone: sum((one) => one.alone),
  };
  const failures = [...layers.flatMap((one) => one.failures), ...(golden?.failures ?? [])];
  const failed = failures.length;
  const ok = failed === 0 && problems.length === 0;
  const found = [...problems, ...failures, ...layers.flatMap(({ warnings }) => warnings)];
  if (options.json) {
    around.stdout.write(json({ ok, passed, failed, skipped, module: again, layers, golden, problems }));
    return ok ? 0 : 1;
  }
  const paint = paintFor(around);
  const rows = layers.map(({ name, directory, passed, failures, skipped, percent }) => [
    name,
    results({ passed, failed: failures.length, skipped }),
    percent === null ? "" : `${percent.toFixed(1)} % covered`,
    relative(around.cwd, directory),
  ]);
  if (Object.values(again).some((number) => number > 0))
    rows.push(["module", results(again), "", "the tests again, in the module that serves"]);
  if (golden !== null)
    rows.push([
      "cases",
      results({ passed: golden.passed, failed: golden.failures.length }),
      "",
      relative(around.cwd, golden.folder),
    ]);
  around.stdout.write(columns(rows));
  if (options.coverage) around.stdout.write(uncovered(layers, around.cwd));
  around.stdout.write(problemLines(found, around.cwd));
  if (options.run !== undefined && passed + failed + skipped === 0 && ok) {
    around.stderr.write(`portcullis: no test matches ${options.run}\n`);
    return 2;
  }
  const wrong = [
    ...(failed > 0 ? [`${failed} failed`] : []),
    ...(problems.length > 0 ? [count(problems.length, "error")] : []),
  ];
  around.stdout.write(`${ok ? paint.green("ok") : paint.red(wrong.join(", "))}: ${passed} passed\n`);
  return ok ? 0 : 1;
}

/** `3 passed, 1 failed`: of the first always, of the others where there are any. */
function results(counts: Readonly<Record<string, number>>): string {
  return Object.entries(counts)
    .filter(([, number], at) => at === 0 || number > 0)
    .map(([what, number]) => `${number} ${what}`)
    .join(", ");
}

/** `file:3-5,9: not covered`. */
function uncovered(layers: readonly LayerRun[], cwd: string): string {
  const lines = layers
    .flatMap(({ uncovered }) => uncovered)
    .map(({ file, rows }) => `${relative(cwd, file)}:${rangesOf(rows)}: not covered\n`);
  return printableLines(lines.join(""));
}

function rangesOf(rows: readonly number[]): string {
  const ranges: [number, number][] = [];
  for (const row of rows) {
    const last = ranges.at(-1);
    if (last !== undefined && last[1] === row - 1) last[1] = row;
    else ranges.push([row, row]);
  }
  return ranges.map(([from, to]) => (from === to ? `${from}` : `${from}-${to}`)).join(",");
}

/** Matched against names of cases; the toolchain matches its own tests by RE2. */
function filterOf(run = ""): RegExp | null {
  try {
    return new RegExp(run, "u");
  } catch {
    return null;
  }
}

/** null: none. undefined: one that was asked for is not there. */
async function casesOf(
  { cases }: TestCommandOptions,
  config: Config,
  { cwd }: Surroundings,
): Promise<string | null | undefined> {
  const folder = cases === undefined ? join(dirname(config.file), "cases") : resolve(cwd, cases);
  const there = await stat(folder).then(
    (found) => found.isDirectory(),
    () => false,
  );
  if (there) return folder;
  return cases === undefined ? null : undefined;
}
