import type { Json, JsonObject } from "../lib/json.ts";

/** A finding in a policy, at a place. `file` is "" and `row` 0 where there is no place; rows and columns count from 1. */
export interface Problem {
  readonly severity: "error" | "warning";
  /** Stable, lower snake case: `arguments_in_capability`, `requirement_unknown`, OPA's own `rego_type_error` … */
  readonly code: string;
  readonly message: string;
  readonly file: string;
  readonly row: number;
  readonly col: number;
  /** What to write instead. */
  readonly hint?: string;
}

/** One layer's policies: everything that `check`, `build`, `test` and `eval` need to know. */
export interface PolicySources {
  /** Path -> Rego source. Files ending in `_test.rego` are checked and tested, never built. */
  readonly files: Readonly<Record<string, string>>;
  /** The base document `data`. Its paths may not collide with packages. */
  readonly data: JsonObject;
  /** JSON Schema of `input.tenant`; `{}` requires `id` alone. */
  readonly tenantSchema: JsonObject;
}

/** What the sources say, found by walking the compiled AST, helper functions and packages included. */
export interface PolicyFacts {
  /** Every requirement that a `holds.<name>` defines, by name. */
  readonly requirements: readonly RequirementFact[];
  /** Paths read below `input`, e.g. `["principal","roles"]`, none a prefix of another: what to project the input to. */
  readonly reads: { readonly capability: readonly Path[]; readonly holds: readonly Path[] };
  /** Whether the clock is read: `time.now_ns` or `input.context.now`. */
  readonly clock: { readonly capability: boolean; readonly holds: boolean };
  /** One entry per grant that names, or may name, a credential. null: not a literal. */
  readonly credentials: readonly CredentialFact[];
}

export type Path = readonly string[];

export interface RequirementFact {
  readonly name: string;
  /** METADATA `title`; the name where there is none. */
  readonly title: string;
  /** METADATA `custom.step_up`. */
  readonly stepUp: null | { readonly max_age?: number; readonly scope?: string };
  /** METADATA `custom.optional`: names of arguments that may be absent. */
  readonly optional: readonly string[];
  /** Paths under `input.arguments` that it reads, never the whole: each must be present unless optional. */
  readonly argumentsRead: readonly Path[];
}

export interface CredentialFact {
  readonly source: string | null;
  readonly role: string | null;
  readonly upstream: string | null;
  readonly file: string;
  readonly row: number;
  readonly col: number;
}

/**
 * A layer, compiled. Its entrypoints:
 * - `portcullis/capabilities`: `{principal, tenant, server, context, targets: [target]}` ->
 *   `[{grants: [], limits: [], denials: []}]`, one per target, in order;
 * - `portcullis/requirements`: `{principal, tenant, server, context, target, arguments, requires: [name]}` ->
 *   the names among `requires` that hold; no other requirement is evaluated;
 * - `portcullis/patterns`, where rules have patterns written out: for `check` alone (`pattern-problems.ts`).
 */
export interface BuiltPolicy {
  readonly wasm: Uint8Array;
  /** SHA-256 over module, canonical data and facts: same sources, same digest. */
  readonly sha256: string;
  readonly data: JsonObject;
  readonly facts: PolicyFacts;
  readonly warnings: readonly Problem[];
}

/** `ok: false`: at least one problem is an error. */
export interface CheckResult {
  readonly ok: boolean;
  readonly problems: readonly Problem[];
}

export type BuildResult =
  | { readonly ok: true; readonly policy: BuiltPolicy }
  | { readonly ok: false; readonly problems: readonly Problem[] };

export type Outcome<T> =
  | ({ readonly ok: true } & T)
  | { readonly ok: false; readonly problems: readonly Problem[] };

export interface TestOptions {
  /** Only tests whose full name (`data.authz_test.test_x`) matches this RE2 expression. */
  readonly run?: string;
  readonly coverage?: boolean;
  /** What `time.now_ns` is: nanoseconds since the epoch. Default: the real clock. */
  readonly now?: bigint;
}

export interface TestCase {
  /** `data.authz_test` */
  readonly package: string;
  /** The rule: `test_refund`. */
  readonly test: string;
  /** The rule's, or `test_refund/too much` for one case of a data-driven test. */
  readonly name: string;
  readonly file: string;
  readonly row: number;
  readonly col: number;
  readonly outcome: "pass" | "fail" | "skip" | "error";
  readonly ms: number;
  /** What `print` wrote. */
  readonly output: string;
  /** Where a failing test stopped, with the values that its expression saw. */
  readonly failedAt: null | {
    readonly file: string;
    readonly row: number;
    readonly expression: string;
    readonly values: Readonly<Record<string, Json>>;
  };
  /** Why it could not be run. */
  readonly error: string;
}

export interface Coverage {
  /** Covered share of the expressions, 0 to 100, tests excluded. */
  readonly percent: number;
  readonly files: Readonly<
    Record<string, { readonly percent: number; readonly notCovered: readonly number[] }>
  >;
}

export interface TestReport {
  readonly tests: readonly TestCase[];
  readonly coverage: Coverage | null;
  readonly warnings: readonly Problem[];
}

/** Tests in a module of the kind that serves. */
export interface Trial {
  /** Base64; null: it holds none. */
  readonly wasm: string | null;
  /** By test, as `data.authz_test.test_x`. */
  readonly entrypoints: Readonly<Record<string, string>>;
  /** Why no module holds it, by test. */
  readonly alone: Readonly<Record<string, string>>;
}

export interface EvalRequest {
  /** A Rego query such as `data.authz.grant`; default: the capability of `input`. */
  readonly query?: string;
  readonly input: JsonObject;
  readonly now?: bigint;
}

export interface EvalReport {
  /** One entry per solution: the query's value and the variables it bound. Sets are sorted arrays. Empty: undefined. */
  readonly results: readonly { readonly value: Json; readonly bindings: JsonObject }[];
  readonly output: string;
}

/** What policy documentation is made of. */
export interface InspectReport {
  readonly packages: readonly {
    readonly path: string;
    readonly title: string;
    readonly description: string;
    readonly file: string;
  }[];
  readonly rules: readonly RuleFact[];
  readonly names: readonly NameFact[];
}

/** A text that a policy compares a field of the input with, or a member of the tenant's record that it reads. */
export interface NameFact {
  /** Below `input`: `target.name`; `tenant` for a member of the record. */
  readonly path: string;
  readonly text: string;
  /** That the rule compares `input.target.upstream` with, where it does. */
  readonly upstream: string | null;
  readonly file: string;
  readonly row: number;
  readonly col: number;
}

export interface RuleFact {
  readonly kind: "grant" | "limit" | "deny" | "holds";
  /** Of holds: the requirement. Of a deny: its reason, of a grant: its reason, where literal; else "". */
  readonly name: string;
  readonly title: string;
  readonly description: string;
  readonly file: string;
  readonly row: number;
}

/** What a query reads. */
export interface DepsReport {
  /** Base documents, as refs: `input.principal.roles`, `data.limits`. */
  readonly base: readonly string[];
  /** Rules: `data.authz.grant`. */
  readonly virtual: readonly string[];
}
