import type { Layer } from "../domain.ts";
import type { Clock } from "../lib/clock.ts";
import { digest, type JsonObject } from "../lib/json.ts";
import type { Log } from "../lib/log.ts";
import { watchDirectory } from "./directory-watch.ts";
import { type EvaluationLimits, loadProgram, type Program } from "./instance.ts";
import type { InstancePool } from "./instance-pool.ts";
import { createLayer, type PolicyLayer } from "./layer.ts";
import { type PolicyFiles, readPolicyFiles } from "./policy-files.ts";
import { problem } from "./problem.ts";
import type { InputLimits } from "./projection.ts";
import { meantFor, type Toolchain } from "./toolchain.ts";
import type { BuildResult, BuiltPolicy, Problem } from "./toolchain-types.ts";

/** What evaluations may use. */
export interface PolicyLimits extends EvaluationLimits, InputLimits {
  /** Instances that are kept, the platform's and those of tenants together. */
  readonly instances: number;
}

export interface LayerStatus {
  readonly directory: string;
  /** Of what is in force; null: nothing. */
  readonly revision: string | null;
  /** When it came into force, in milliseconds since the epoch. */
  readonly since: number | null;
  readonly warnings: readonly Problem[];
  /** Why the directory's present content is not in force, or null. */
  readonly lastError: null | { readonly at: number; readonly problems: readonly Problem[] };
}

/** A directory of policies and the layer made of its last good content. */
export interface LayerSource {
  readonly layer: PolicyLayer | null;
  readonly status: LayerStatus;
  /** Reads, builds and swaps. Never rejects: what is bad leaves the last good layer in force. */
  refresh(): Promise<void>;
  close(): void;
}

export interface LayerSourceParts {
  readonly directory: string;
  readonly layer: Layer;
  /** For the log: "" for the platform. */
  readonly tenant: string;
  readonly schemas: { readonly tenantSchema: JsonObject; readonly attributesSchema?: JsonObject };
  readonly toolchain: Pick<Toolchain, "build">;
  readonly pool: InstancePool;
  readonly limits: PolicyLimits;
  readonly log: Log;
  readonly clock: Clock;
  readonly onSwap: () => void;
}

interface Loaded {
  readonly content: string;
  readonly layer: PolicyLayer;
  readonly program: Program;
}

export function createLayerSource(parts: LayerSourceParts): LayerSource {
  const { directory, pool, log, clock } = parts;
  const about = { layer: parts.layer, tenant: parts.tenant, directory };
  const watching = watchDirectory(directory, () => void refresh());
  let loaded: Loaded | null = null;
  let status: LayerStatus = { directory, revision: null, since: null, warnings: [], lastError: null };
  let queue = Promise.resolve();

  function refresh(): Promise<void> {
    queue = queue.then(run).catch((cause: unknown) => refuse([failure(cause)]));
    return queue;
  }

  async function run(): Promise<void> {
    await watching.refresh();
    const read = await readPolicyFiles(directory);
    if (!read.ok) return refuse(read.problems);
    const content = digest({ ...read.sources });
    if (content === loaded?.content) {
      status = { ...status, lastError: null };
      return;
    }
    const built = await build(parts, read.sources);
    if (built.ok) swap(content, built.policy, await load(parts, built.policy));
    else refuse(built.problems);
  }

  function swap(content: string, policy: BuiltPolicy, program: Program): void {
    const layer = createLayer({ ...parts, policy, program });
    if (loaded) pool.release(loaded.program);
    loaded = { content, layer, program };
    const revision = policy.sha256;
    const warnings = meantFor(parts.layer, policy.warnings);
    status = { directory, revision, since: clock(), warnings, lastError: null };
    parts.onSwap();
    log.info({ ...about, revision, warnings: warnings.map(lineOf) }, "policies in force");
  }

  function refuse(problems: readonly Problem[]): void {
    status = { ...status, lastError: { at: clock(), problems } };
    const instead = loaded ? "the last good ones stay in force" : "nothing is served under them";
    log.error(
      { ...about, revision: status.revision, problems: problems.map(lineOf) },
      `policies are bad: ${instead}`,
    );
  }

  return {
    get layer() {
      return loaded?.layer ?? null;
    },
    get status() {
      return status;
    },
    refresh,
    close: () => watching.close(),
  };
}

async function build({ toolchain, schemas }: LayerSourceParts, sources: PolicyFiles): Promise<BuildResult> {
  // A deployment that empties the directory first must not lift the denials that were there.
  const none = Object.keys(sources.files).every((path) => path.endsWith("_test.rego"));
  if (none)
    return { ok: false, problems: [problem("policies_missing", "there are no policies in this directory")] };
  return toolchain.build({ ...sources, ...schemas });
}

function load({ limits }: LayerSourceParts, { wasm, data }: BuiltPolicy): Promise<Program> {
  return loadProgram(wasm, JSON.stringify(data), limits);
}

function failure(cause: unknown): Problem {
  return problem("policies_unloadable", cause instanceof Error ? cause.message : String(cause));
}

function lineOf({ file, row, col, code, message, hint }: Problem): string {
  const what = `${code}: ${message}${hint ? ` (${hint})` : ""}`;
  return file === "" ? what : `${file}:${row}:${col}: ${what}`;
}
