import type { Target } from "../domain.ts";
import type { JsonObject } from "../lib/json.ts";
import { type CompiledSchema, compileSchema } from "../policy/schema.ts";

export type TargetSchema =
  | { readonly ok: true; readonly schema: CompiledSchema }
  | { readonly ok: false; readonly fault: string };

/** The pinned schemas of targets, each compiled once. */
export interface Schemas {
  of(target: Target): TargetSchema;
  /** What an operator should know: invalid schemas, and keywords that only the upstream enforces. */
  notes(targets: readonly Target[]): readonly { readonly target: string; readonly note: string }[];
}

/** Compiled when the catalog changes (`of` is called then for each target), so that no request waits for it. */
export function createSchemas(): Schemas {
  // By the schema itself: all that takes no arguments shares one.
  const compiled = new WeakMap<JsonObject, TargetSchema>();

  function of(target: Target): TargetSchema {
    const known = compiled.get(target.inputSchema);
    if (known !== undefined) return known;
    const result = compileSchema(target.inputSchema);
    compiled.set(target.inputSchema, result);
    return result;
  }

  return {
    of,
    notes: (targets) =>
      targets.flatMap((target) => {
        const result = of(target);
        const name = `${target.upstream}: ${target.name}`;
        if (!result.ok) return [{ target: name, note: `not listed, its schema is invalid: ${result.fault}` }];
        return result.schema.unenforced.map((pointer) => ({
          target: name,
          note: `left to the upstream: ${pointer}`,
        }));
      }),
  };
}
