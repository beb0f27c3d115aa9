import type { Config } from "../config/config.ts";
import { isJsonObject, type Json, type JsonObject } from "../lib/json.ts";
import { createToolchain, type EvalReport, type Problem, type Toolchain } from "../policy/toolchain.ts";
import type { CommonOptions, ExitCode, Surroundings } from "./command.ts";
import { type InputOptions, inputOf } from "./eval-input.ts";
import { type LayerFiles, placed, readLayers } from "./layers.ts";
import { loadOrTell, type Printable, problemLines } from "./load.ts";
import { columns, json, type Paint, paintFor, printableLines } from "./print.ts";

export interface EvalOptions extends CommonOptions, InputOptions {
  /** A Rego query. */
  readonly arguments: readonly string[];
  /** Whose layer, alone; else the platform's and that of the input's tenant. */
  readonly tenant?: string;
}

interface Evaluated {
  readonly layer: string;
  readonly report: EvalReport;
}

/** `portcullis eval`: what the policies say of an input, by OPA's own evaluator. */
export async function evaluate(options: EvalOptions, around: Surroundings): Promise<ExitCode> {
  const config = await loadOrTell(options, around);
  if (config === null) return 2;
  const input = await inputOf(options, config, around);
  const layers = await wantedLayers(options, config, input);
  if (layers.length === 0) {
    around.stderr.write(`portcullis: ${options.tenant ?? "the platform"} has no policies that can be read\n`);
    return 2;
  }
  const [query] = options.arguments;
  const toolchain = createToolchain();
  try {
    const { found, problems } = await evaluateAll(
      layers,
      { input, ...(query !== undefined && { query }) },
      toolchain,
    );
    if (options.json) around.stdout.write(json({ input, layers: found, problems }));
    else for (const one of found) around.stdout.write(described(one, query !== undefined, paintFor(around)));
    if (!options.json) around.stderr.write(problemLines(problems, around.cwd));
    return problems.length === 0 ? 0 : 2;
  } finally {
    await toolchain.close();
  }
}

async function wantedLayers(
  { tenant }: EvalOptions,
  config: Config,
  input: JsonObject,
): Promise<readonly LayerFiles[]> {
  const { layers } = await readLayers(config);
  if (tenant !== undefined) return layers.filter((layer) => layer.tenant?.id === tenant);
  const asker = isJsonObject(input.tenant) ? input.tenant.id : undefined;
  return layers.filter((layer) => layer.tenant === null || layer.tenant.id === asker);
}

async function evaluateAll(
  layers: readonly LayerFiles[],
  request: Parameters<Toolchain["eval"]>[1],
  toolchain: Toolchain,
) {
  const found: Evaluated[] = [];
  const problems: Printable[] = [];
  for (const { name, directory, sources } of layers) {
    const evaluated = await toolchain.eval(sources, request);
    if (evaluated.ok) found.push({ layer: name, report: evaluated.report });
    else problems.push(...evaluated.problems.map((one) => located(one, directory)));
  }
  return { found, problems };
}

/** A place in no file is one in the query. */
function located(problem: Problem, directory: string): Printable {
  return problem.file === "" && problem.row > 0 ? { ...problem, file: "query" } : placed(problem, directory);
}

function described({ layer, report }: Evaluated, queried: boolean, paint: Paint): string {
  const { results, output } = report;
  const printed = output === "" ? "" : `  printed: ${output.trimEnd()}\n`;
  const [first] = results;
  const value = first?.value ?? null;
  const body = !queried && isJsonObject(value) ? capability(value) : solutions(results);
  return `${paint.bold(layer)}\n${printableLines(printed + (body || "  nothing\n"))}`;
}

function solutions(results: EvalReport["results"]): string {
  if (results.length === 0) return "  undefined\n";
  return results
    .map(({ value, bindings }) => (Object.keys(bindings).length > 0 ? bindings : value))
    .map((shown) => `  ${JSON.stringify(shown, null, 2).replaceAll("\n", "\n  ")}\n`)
    .join("");
}

/** Grants, limits, denials, and which requirements hold; of one that does not, the arguments without which it cannot. */
function capability({ grants, limits, denials, holds, missing }: JsonObject): string {
  const lacking = isJsonObject(missing) ? missing : {};
  return [
    ...list(denials).map((reason) => row("deny", String(reason))),
    ...list(grants).map((grant) =>
      isJsonObject(grant) ? row("grant", String(grant.reason)) + detail(grant) : "",
    ),
    ...list(limits).map((limit) => (isJsonObject(limit) ? `  limit  ${detail(limit).trimStart()}` : "")),
    ...Object.entries(isJsonObject(holds) ? holds : {}).map(([name, held]) =>
      held === true ? row("holds", name) : row("unmet", name + without(list(lacking[name]))),
    ),
  ].join("");
}

function without(pointers: readonly Json[]): string {
  return pointers.length === 0 ? "" : `  cannot be told without ${pointers.join(", ")}`;
}

function row(kind: string, text: string): string {
  return `  ${kind.padEnd(5)}  ${text}`.trimEnd().concat("\n");
}

function detail({ reason: _, arguments: bounds, ...more }: JsonObject): string {
  const rows = [
    ...Object.entries(isJsonObject(bounds) ? bounds : {}).map(([name, bound]) => [name, words(bound)]),
    ...Object.entries(more).map(([key, value]) => [key, words(value)]),
  ];
  return columns(rows, " ".repeat(9));
}

/** `maximum 200, multipleOf 0.01` */
function words(value: Json): string {
  if (isJsonObject(value))
    return Object.entries(value)
      .map(([key, one]) => `${key} ${words(one)}`)
      .join(", ");
  return Array.isArray(value)
    ? value.map(words).join(", ")
    : typeof value === "string"
      ? value
      : JSON.stringify(value);
}

function list(value: Json | undefined): readonly Json[] {
  return Array.isArray(value) ? value : [];
}
