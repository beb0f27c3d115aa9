import { relative, resolve } from "node:path";
import { createFilePins, type Pin } from "../catalog/pins.ts";
import { load } from "../compose/load.ts";
import type { Config } from "../config/config.ts";
import { digest } from "../lib/json.ts";
import {
  type BuildResult,
  createToolchain,
  meantFor,
  type PolicySources,
  type RequirementFact,
  type RuleFact,
  type Toolchain,
} from "../policy/toolchain.ts";
import { argumentFindings } from "./argument-findings.ts";
import type { CommonOptions, ExitCode, Surroundings } from "./command.ts";
import { credentialFindings } from "./credential-findings.ts";
import { type LayerFiles, type Layers, openPolicies, placed, readLayers } from "./layers.ts";
import { type Printable, problemLines } from "./load.ts";
import { count, json, paintFor } from "./print.ts";
import { unknownNames } from "./unknown-names.ts";

interface Counts {
  readonly layers: number;
  readonly rules: number;
  readonly requirements: number;
  readonly tenants: number;
  /** Pinned definitions that bounds were compared with. */
  readonly targets: number;
}

interface Checked {
  readonly problems: readonly Printable[];
  /** null: the configuration did not load. */
  readonly counts: Counts | null;
}

/** `portcullis check`: configuration and policies, each by itself and against each other. */
export async function check(options: CommonOptions, around: Surroundings): Promise<ExitCode> {
  const loaded = await load(options, around, { secrets: false });
  const { problems, counts }: Checked = loaded.ok
    ? await checkPolicies(loaded.config)
    : { problems: loaded.problems, counts: null };
  const errors = problems.filter(({ severity }) => severity !== "warning").length;
  const warnings = problems.length - errors;
  if (options.json) {
    const shown = problems.map((one) => ({
      severity: "error",
      ...one,
      file: relative(around.cwd, resolve(around.cwd, one.file)),
    }));
    around.stdout.write(json({ ok: errors === 0, problems: shown, ...counts }));
  } else {
    around.stdout.write(problemLines(sorted(problems), around.cwd));
    around.stdout.write(`${summary(errors, warnings, counts, paintFor(around))}\n`);
  }
  if (!loaded.ok && problems.some(({ code }) => code === "file_unreadable")) return 2;
  return errors > 0 ? 1 : 0;
}

function summary(
  errors: number,
  warnings: number,
  counts: Counts | null,
  paint: ReturnType<typeof paintFor>,
): string {
  const warned = warnings === 0 ? [] : [paint.yellow(count(warnings, "warning"))];
  if (errors > 0 || counts === null) return [paint.red(count(errors, "error")), ...warned].join(", ");
  const { layers, rules, requirements, tenants, targets } = counts;
  const parts = [
    count(layers, "layer"),
    count(rules, "rule"),
    count(requirements, "requirement"),
    count(tenants, "tenant"),
    targets === 0 ? "no pinned targets" : count(targets, "pinned target"),
  ];
  return `${paint.green("ok")}: ${[...parts, ...warned].join(", ")}`;
}

async function checkPolicies(config: Config): Promise<Checked> {
  const toolchain = createToolchain();
  try {
    const read = await readLayers(config);
    const build = buildOnce(toolchain);
    const pins = createFilePins(config.pins.path).list();
    const layers = await Promise.all(
      read.layers.map((layer) => checkLayer(layer, { config, read, pins, toolchain, build })),
    );
    const problems = [...read.problems, ...layers.flatMap((layer) => layer.problems)];
    const sound = problems.every(({ severity }) => severity === "warning");
    if (sound && pins.length > 0) {
      const policies = await openPolicies(config, { build });
      const facts = new Map(layers.map((one) => [one.layer.name, one]));
      problems.push(...argumentFindings({ config, read, policies, pins, facts, told: problems }));
      policies.close();
    }
    const counts = {
      layers: layers.length,
      rules: sum(layers.map(({ rules }) => rules.filter(({ kind }) => kind !== "holds").length)),
      requirements: sum(layers.map(({ requirements }) => requirements.length)),
      tenants: read.tenants.length,
      targets: pins.length,
    };
    return { problems, counts };
  } finally {
    await toolchain.close();
  }
}

interface Checking {
  readonly config: Config;
  readonly read: Layers;
  readonly pins: readonly Pin[];
  readonly toolchain: Toolchain;
  readonly build: Toolchain["build"];
}

async function checkLayer(layer: LayerFiles, { config, read, pins, toolchain, build }: Checking) {
  const { directory, sources } = layer;
  const built = await build(sources);
  const told = built.ok ? built.policy.warnings : built.problems;
  const found = meantFor(layer.tenant === null ? "platform" : "tenant", told).map((one) =>
    placed(one, directory),
  );
  const nothing = { rules: [] as readonly RuleFact[], requirements: [] as readonly RequirementFact[] };
  if (!built.ok) return { layer, problems: found, ...nothing };
  const { credentials, requirements } = built.policy.facts;
  const receiving = { layer, tenants: read.tenants };
  found.push(...credentialFindings(credentials, receiving, config).map((one) => placed(one, directory)));
  const inspected = await toolchain.inspect(sources);
  if (!inspected.ok) return { layer, problems: found, ...nothing, requirements };
  const { rules: ruled, names } = inspected.report;
  const known = { config, tenants: read.tenants, pins };
  const unknown = unknownNames(names, layer, known).filter(({ message }) =>
    found.every((one) => one.message !== message),
  );
  found.push(...unknown.map((one) => placed(one, directory)));
  const rules = ruled.map((rule) => ({ ...rule, file: `${directory}/${rule.file}` }));
  return { layer, problems: found, rules, requirements };
}

/** The same sources are built once, whoever asks. */
function buildOnce(toolchain: Toolchain): Toolchain["build"] {
  const known = new Map<string, Promise<BuildResult>>();
  return (sources: PolicySources) => {
    const key = digest({ files: sources.files, data: sources.data });
    const built = known.get(key) ?? toolchain.build(sources);
    known.set(key, built);
    return built;
  };
}

function sorted(problems: readonly Printable[]): readonly Printable[] {
  return [...problems].sort((a, b) => a.file.localeCompare(b.file) || a.row - b.row || a.col - b.col);
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, one) => total + one, 0);
}
