import { createFilePins } from "../catalog/pins.ts";
import type { Config } from "../config/config.ts";
import type { Difference } from "../golden/compare.ts";
import { pinnedViews } from "../golden/pinned.ts";
import { readCases } from "../golden/read.ts";
import { openGolden } from "../golden/run.ts";
import type { Toolchain } from "../policy/toolchain.ts";
import { openPolicies, placed } from "./layers.ts";
import type { Printable } from "./load.ts";

/** What the golden cases of a folder came to. */
export interface GoldenRun {
  readonly folder: string;
  readonly passed: number;
  readonly failures: readonly Printable[];
  /** Why cases could not be run. */
  readonly problems: readonly Printable[];
}

export async function runGolden(parts: {
  readonly config: Config;
  readonly folder: string;
  readonly filter: RegExp;
  readonly toolchain: Pick<Toolchain, "build">;
}): Promise<GoldenRun> {
  const { config, folder, filter, toolchain } = parts;
  const { cases, problems } = await readCases(folder);
  const pins = createFilePins(config.pins.path).list();
  const none = { folder, passed: 0, failures: [] };
  if (pins.length === 0) return { ...none, problems: [...problems, noPins(config)] };
  const policies = await openPolicies(config, toolchain);
  const { platform, tenants } = policies.status();
  const bad = [platform, ...Object.values(tenants)].flatMap(({ directory, lastError }) =>
    (lastError?.problems ?? []).map((one) => placed(one, directory)),
  );
  if (bad.length > 0) {
    policies.close();
    return { ...none, problems: [...problems, ...bad] };
  }
  const golden = await openGolden({ config, policies, views: pinnedViews(config, pins) });
  const failures: Printable[] = [];
  const wanted = cases.filter(({ golden: { name } }) => filter.test(name));
  for (const { file, golden: one } of wanted) {
    const differences = await golden.run(one);
    if (differences.length > 0) failures.push(failure(file, one.name, differences));
  }
  await golden.close();
  policies.close();
  return { folder, passed: wanted.length - failures.length, failures, problems };
}

function failure(file: string, name: string, differences: readonly Difference[]): Printable {
  const lines = differences.map(
    ({ at, wanted, got }) => `${at}: wanted ${JSON.stringify(wanted)}, got ${JSON.stringify(got)}`,
  );
  return { code: "case_failed", message: name, file, row: 0, col: 0, hint: lines.join("\n") };
}

function noPins({ pins }: Config): Printable {
  return {
    code: "pins_missing",
    message: "no definitions are pinned, so there is nothing to decide about",
    file: pins.path,
    row: 0,
    col: 0,
    hint: "portcullis pin --all",
  };
}
