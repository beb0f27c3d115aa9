import type { Target } from "../domain.ts";
import { type CompiledSchema, compileSchema } from "../policy/schema.ts";

export type TargetSchema =
  | { readonly ok: true; readonly schema: CompiledSchema }
  | { readonly ok: false; readonly fault: string };

/** The pinned schemas of targets, each compiled once. */
export interface Schemas {
  of(target: Target): TargetSchema;
}

/** Compiled when the catalog changes (`of` is called then for each target), so that no request waits for it. */
export function createSchemas(): Schemas {
  const compiled = new WeakMap<Target, TargetSchema>();
  return {
    of(target) {
      const known = compiled.get(target);
      if (known !== undefined) return known;
      const result = compileSchema(target.inputSchema);
      compiled.set(target, result);
      return result;
    },
  };
}
