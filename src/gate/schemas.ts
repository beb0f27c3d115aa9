import type { Revision, Target } from "../domain.ts";
import type { JsonObject } from "../lib/json.ts";
import { LRUCache } from "../lib/lru.ts";
import { type CompiledSchema, compileSchema } from "../policy/schema.ts";

/** Of one target: the latest, from policies of any revision. */
const MAX_MISTAKES = 100;
/** Every URI that a client asks for may be a target. */
const MAX_MISTAKEN = 1000;

export type TargetSchema =
  | { readonly ok: true; readonly schema: CompiledSchema }
  | { readonly ok: false; readonly fault: string };

/** The pinned schemas of targets, each compiled once. */
export interface Schemas {
  of(target: Target): TargetSchema;
  /** Takes what of a tenant's policies was dropped on a target. */
  mistaken(target: Target, by: TenantRevision, mistakes: readonly string[]): void;
  /**
   * What an operator should know: invalid schemas, keywords that only the upstream enforces, and what was dropped of the
   * policies that are current.
   */
  notes(targets: readonly Target[], isCurrent: (by: TenantRevision) => boolean): readonly Note[];
}

/** Whose policies, in which revision. */
export interface TenantRevision {
  readonly tenant: string;
  readonly revision: Revision;
}

export interface Note {
  readonly target: string;
  readonly note: string;
  /** Of a policy: its author has to look. */
  readonly mistake: boolean;
}

/** Compiled when the catalog changes (`of` is called then for each target), so that no request waits for it. */
export function createSchemas(): Schemas {
  // By the schema itself: all that takes no arguments shares one.
  const compiled = new WeakMap<JsonObject, TargetSchema>();

  /** By the target's digest; each once for a tenant. */
  const mistakes = new LRUCache<
    string,
    Map<string, { readonly by: TenantRevision; readonly mistake: string }>
  >({
    max: MAX_MISTAKEN,
  });

  function of(target: Target): TargetSchema {
    const known = compiled.get(target.inputSchema);
    if (known !== undefined) return known;
    const result = compileSchema(target.inputSchema);
    compiled.set(target.inputSchema, result);
    return result;
  }

  function notesOf(
    target: Target,
    isCurrent: (by: TenantRevision) => boolean,
  ): readonly Omit<Note, "target">[] {
    const told = (note: string) => ({ note, mistake: false });
    const result = of(target);
    if (!result.ok) return [told(`not listed, its schema is invalid: ${result.fault}`)];
    const dropped = [...(mistakes.get(target.digest)?.values() ?? [])].filter(({ by }) => isCurrent(by));
    return [
      ...result.schema.unenforced.map((pointer) => told(`left to the upstream: ${pointer}`)),
      ...dropped.map(({ by, mistake }) => ({ note: `policy for ${by.tenant}: ${mistake}`, mistake: true })),
    ];
  }

  return {
    of,
    mistaken: ({ digest }, by, said) => {
      const known = mistakes.get(digest) ?? new Map();
      for (const mistake of said) {
        known.delete(`${by.tenant} ${mistake}`);
        known.set(`${by.tenant} ${mistake}`, { by, mistake });
        if (known.size > MAX_MISTAKES) known.delete(known.keys().next().value);
      }
      mistakes.set(digest, known);
    },
    notes: (targets, isCurrent) =>
      targets.flatMap((target) =>
        notesOf(target, isCurrent).map((note) => ({ target: `${target.upstream}: ${target.name}`, ...note })),
      ),
  };
}
