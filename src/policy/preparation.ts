import type { Layer } from "../domain.ts";
import { digest } from "../lib/json.ts";
import { type EvaluationLimits, loadProgram, type Program } from "./instance.ts";
import { readPolicyFiles } from "./policy-files.ts";
import { unloadable } from "./problem.ts";
import type { Toolchain } from "./toolchain.ts";
import type { BuiltPolicy, PolicySources, Problem } from "./toolchain-types.ts";

/** A folder of policies that is to decide. Like the answer, it can be sent to another thread. */
export interface Wanted {
  readonly directory: string;
  readonly layer: Layer;
  readonly tenantSchema: PolicySources["tenantSchema"];
  readonly limits: EvaluationLimits;
  /** Digest of the content that is in force, or "". */
  readonly content: string;
}

export type Prepared =
  | { readonly kind: "same" }
  | { readonly kind: "bad"; readonly problems: readonly Problem[]; readonly again: boolean }
  | {
      readonly kind: "good";
      readonly content: string;
      readonly policy: Omit<BuiltPolicy, "wasm" | "data">;
      readonly program: Program;
    };

/** Files -> what decides. */
export type Prepare = (wanted: Wanted) => Promise<Prepared>;

/** Reads, builds and loads in this thread, which large data keeps busy for seconds. Never rejects. */
export function createPreparer(toolchain: Pick<Toolchain, "build">): Prepare {
  async function prepare({
    directory,
    layer,
    tenantSchema,
    limits,
    content: before,
  }: Wanted): Promise<Prepared> {
    const read = await readPolicyFiles(directory, layer);
    if (!read.ok) return bad(read.problems, read.again);
    const { sources } = read;
    const content = digest({ ...sources });
    if (content === before) return { kind: "same" };
    const built = await toolchain.build({ ...sources, tenantSchema });
    if (!built.ok) return bad(built.problems);
    const { wasm, data, ...policy } = built.policy;
    return { kind: "good", content, policy, program: await loadProgram(wasm, JSON.stringify(data), limits) };
  }
  return (wanted) => prepare(wanted).catch((cause: unknown) => bad([unloadable(cause)]));
}

function bad(problems: readonly Problem[], again = false): Prepared {
  return { kind: "bad", problems, again };
}
