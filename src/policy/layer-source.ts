import type { Layer } from "../domain.ts";
import type { Clock } from "../lib/clock.ts";
import type { JsonObject } from "../lib/json.ts";
import type { Log } from "../lib/log.ts";
import { watchDirectory } from "./directory-watch.ts";
import type { EvaluationLimits, Program } from "./instance.ts";
import type { InstancePool } from "./instance-pool.ts";
import { createLayer, type PolicyLayer } from "./layer.ts";
import type { Prepare, Prepared } from "./preparation.ts";
import { unloadable } from "./problem.ts";
import type { InputLimits } from "./projection.ts";
import { meantFor } from "./toolchain.ts";
import type { Problem } from "./toolchain-types.ts";

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
  readonly tenantSchema: JsonObject;
  readonly prepare: Prepare;
  readonly pool: InstancePool;
  readonly limits: PolicyLimits;
  readonly log: Log;
  readonly clock: Clock;
  readonly onSwap: () => void;
}

/** Between attempts at what could not be read: that it can be is no change of a file that a watch would see. */
const AGAIN_MS = 1000;

interface Loaded {
  readonly content: string;
  readonly layer: PolicyLayer;
  readonly program: Program;
}

export function createLayerSource(parts: LayerSourceParts): LayerSource {
  const { directory, tenantSchema, limits, pool, log, clock } = parts;
  const about = { layer: parts.layer, tenant: parts.tenant, directory };
  const watching = watchDirectory(directory, () => void refresh());
  let loaded: Loaded | null = null;
  let status: LayerStatus = { directory, revision: null, since: null, warnings: [], lastError: null };
  let running = Promise.resolve();
  let waiting: Promise<void> | undefined;
  let again: NodeJS.Timeout | undefined;
  let closed = false;

  /** One at a time, and one more for all who ask meanwhile: a folder that changes all the time is not built that often. */
  function refresh(): Promise<void> {
    waiting ??= running.then(run).catch((cause: unknown) => refuse([unloadable(cause)]));
    running = waiting;
    return waiting;
  }

  async function run(): Promise<void> {
    waiting = undefined;
    clearTimeout(again);
    await watching.refresh();
    const content = loaded?.content ?? "";
    const prepared = await parts.prepare({ directory, layer: parts.layer, tenantSchema, limits, content });
    if (prepared.kind === "good") swap(prepared);
    else if (prepared.kind === "same") restore();
    else if (prepared.again) refuseUnread(prepared.problems);
    else refuse(prepared.problems);
  }

  function swap({ content, policy, program }: Extract<Prepared, { kind: "good" }>): void {
    const layer = createLayer({ ...parts, policy, program });
    if (loaded) pool.release(loaded.program);
    loaded = { content, layer, program };
    const revision = policy.sha256;
    const warnings = meantFor(parts.layer, policy.warnings);
    status = { directory, revision, since: clock(), warnings, lastError: null };
    parts.onSwap();
    log.info({ ...about, revision, warnings: warnings.map(lineOf) }, "policies in force");
  }

  /** The files are again those that are in force. */
  function restore(): void {
    if (status.lastError === null) return;
    status = { ...status, lastError: null };
    log.info({ ...about, revision: status.revision }, "policies in force");
  }

  /** Tried again by the clock, and told once. */
  function refuseUnread(problems: readonly Problem[]): void {
    const told = status.lastError?.problems.map(lineOf).join("\n");
    if (told !== problems.map(lineOf).join("\n")) refuse(problems);
    if (!closed) again = setTimeout(() => void refresh(), AGAIN_MS).unref();
  }

  function refuse(problems: readonly Problem[]): void {
    if (closed) return;
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
    close() {
      closed = true;
      clearTimeout(again);
      watching.close();
    },
  };
}

function lineOf({ file, row, col, code, message, hint }: Problem): string {
  const what = `${code}: ${message}${hint ? ` (${hint})` : ""}`;
  return file === "" ? what : `${file}:${row}:${col}: ${what}`;
}
