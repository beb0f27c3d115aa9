import { Ajv, type ErrorObject, type Options, type ValidateFunction } from "ajv";
import { Ajv2020 } from "ajv/dist/2020.js";
import type { Json, JsonObject } from "../lib/json.ts";
import { isMultipleOf } from "./decimal.ts";
import { enforceable } from "./enforceable.ts";
import { equalJson, hasDuplicates, valueList } from "./equality.ts";
import { ajvFormats } from "./format.ts";
import { type Outline, outline, resolve } from "./outline.ts";
import { regExpEngine } from "./pattern.ts";
import { pointerTo } from "./value-set.ts";
import { phrase } from "./words.ts";

/** An upstream's schema costs at most this much to compile. */
const MAX_VALUES = 10_000;
const MAX_DEPTH = 64;

const DIALECTS = {
  "2020-12": "https://json-schema.org/draft/2020-12/schema",
  "draft-07": "http://json-schema.org/draft-07/schema",
} as const;
type Dialect = keyof typeof DIALECTS;

/** Why arguments do not fit the pinned schema. */
export interface SchemaFailure {
  /** JSON Pointer of the argument; a missing or additional one is named by it too. */
  readonly pointer: string;
  readonly keyword: string;
  /** What would fit: "must be number". */
  readonly message: string;
}

/** A target's pinned schema, compiled. */
export interface CompiledSchema {
  readonly dialect: Dialect;
  /** As the upstream announced it. */
  readonly source: JsonObject;
  readonly outline: Outline;
  /** JSON Pointers of the keywords that are left to the upstream: patterns outside RE2, unknown formats. */
  readonly unenforced: readonly string[];
  /** null: the arguments fit. Never changes them: no coercion, no defaults. */
  validate(args: JsonObject): SchemaFailure | null;
}

export type SchemaResult =
  | { readonly ok: true; readonly schema: CompiledSchema }
  | { readonly ok: false; readonly fault: string };

/**
 * Compiles a tool's inputSchema, once, off the request path. Draft-07 and 2020-12 by its own `$schema`; without one,
 * or with one that is not known, 2020-12 and then draft-07. `ok: false`: the schema is invalid altogether (or too
 * large, or refers outside itself: nothing is fetched), so the target must not be listed.
 */
export function compileSchema(inputSchema: JsonObject): SchemaResult {
  const fault = boundsOfSchema(inputSchema);
  if (fault !== null) return { ok: false, fault };
  let first: SchemaResult | null = null;
  for (const dialect of dialectsOf(inputSchema)) {
    const result = compileDialect(inputSchema, dialect);
    if (result.ok) return result;
    first ??= result;
  }
  return first ?? { ok: false, fault: "no dialect of JSON Schema fits" };
}

function dialectsOf(schema: JsonObject): readonly Dialect[] {
  const named = typeof schema.$schema === "string" ? schema.$schema : "";
  if (/^https?:\/\/json-schema\.org\/draft-0[467]\/schema#?$/.test(named)) return ["draft-07"];
  return named.replace(/#$/, "") === DIALECTS["2020-12"] ? ["2020-12"] : ["2020-12", "draft-07"];
}

function boundsOfSchema(schema: JsonObject): string | null {
  if (schema.type !== undefined && schema.type !== "object") return 'the schema\'s type is not "object"';
  let left = MAX_VALUES;
  const tooBig = (value: Json, depth: number): boolean =>
    --left < 0 ||
    depth > MAX_DEPTH ||
    (typeof value === "object" &&
      value !== null &&
      Object.values(value).some((inner: Json) => tooBig(inner, depth + 1)));
  return tooBig(schema, 0) ? `the schema has over ${MAX_VALUES} values or ${MAX_DEPTH} levels` : null;
}

function compileDialect(source: JsonObject, dialect: Dialect): SchemaResult {
  try {
    const meta = metaValidator(dialect);
    // A copy: ajv keys its caches by the object.
    if (meta.validateSchema({ ...source, $schema: DIALECTS[dialect] }) !== true) {
      return {
        ok: false,
        fault: `the schema is not valid ${dialect}: ${meta.errorsText(meta.errors, { dataVar: "schema" })}`,
      };
    }
    const { schema, unenforced } = enforceable(source);
    // An instance each: ajv keeps every `$id` it has seen, and one upstream's must not answer another's `$ref`.
    const run = createAjv(dialect, { meta: false, validateSchema: false }).compile({
      type: "object",
      ...schema,
    });
    return {
      ok: true,
      schema: {
        dialect,
        source,
        outline: outline(source),
        unenforced,
        validate: (args) => validate(run, schema, args),
      },
    };
  } catch (thrown) {
    return {
      ok: false,
      fault: `the schema cannot be compiled: ${thrown instanceof Error ? thrown.message : thrown}`,
    };
  }
}

const metaValidators = new Map<Dialect, Ajv>();

function metaValidator(dialect: Dialect): Ajv {
  const known = metaValidators.get(dialect) ?? createAjv(dialect, { addUsedSchema: false });
  metaValidators.set(dialect, known);
  return known;
}

/** Keywords that ajv enforces with our own code. */
const OURS = ["const", "enum", "multipleOf", "uniqueItems"];

function createAjv(dialect: Dialect, options: Options): Ajv {
  const all: Options = {
    ...options,
    strict: false,
    logger: false,
    // Inherited names (`constructor`) are no arguments.
    ownProperties: true,
    // Inlining can grow the code exponentially.
    inlineRefs: false,
    formats: ajvFormats(),
    code: { regExp: regExpEngine },
  };
  const ajv = dialect === "draft-07" ? new Ajv(all) : new Ajv2020(all);
  for (const keyword of OURS) ajv.removeKeyword(keyword);
  // ajv's own compare with a library that calls a value's `valueOf`, look at every pair, and divide in binary.
  ajv.addKeyword({
    keyword: "const",
    compile: (allowed: Json) => (value: Json) => equalJson(allowed, value),
    errors: false,
  });
  ajv.addKeyword({
    keyword: "enum",
    schemaType: "array",
    compile: (allowed: readonly Json[]) => valueList(allowed).has,
    errors: false,
  });
  ajv.addKeyword({
    keyword: "multipleOf",
    type: "number",
    schemaType: "number",
    compile: (divisor: number) => (value: number) => Number.isFinite(value) && isMultipleOf(value, divisor),
    errors: false,
  });
  ajv.addKeyword({
    keyword: "uniqueItems",
    type: "array",
    schemaType: "boolean",
    compile: (wanted: boolean) => (items: readonly Json[]) => !wanted || !hasDuplicates(items),
    errors: false,
  });
  return ajv;
}

function validate(run: ValidateFunction, schema: JsonObject, args: JsonObject): SchemaFailure | null {
  try {
    if (run(args) === true) return null;
  } catch {
    // A schema that refers to itself without end, or arguments that nest as deeply as it lets them.
    return { pointer: "", keyword: "$ref", message: "cannot be checked: they nest too deeply" };
  }
  const errors = run.errors ?? [];
  const last = errors.at(-1);
  // Of alternatives the last error speaks of all of them; of a conditional the first one is the cause.
  const error = last?.keyword === "if" ? errors[0] : last;
  run.errors = null;
  return error === undefined
    ? { pointer: "", keyword: "schema", message: "must fit the schema" }
    : described(error, schema);
}

function described(error: ErrorObject, schema: JsonObject): SchemaFailure {
  const { instancePath, keyword, message, schemaPath } = error;
  const parameters: JsonObject = error.params;
  const { missingProperty: missing, additionalProperty, unevaluatedProperty } = parameters;
  const extra = additionalProperty ?? unevaluatedProperty;
  if (typeof missing === "string") {
    return { pointer: instancePath + pointerTo(missing), keyword, message: "must be present" };
  }
  if (typeof extra === "string") {
    return { pointer: instancePath + pointerTo(extra), keyword, message: "is not an argument here" };
  }
  const asked = OURS.includes(keyword) ? resolve(schema, schemaPath) : undefined;
  const words = asked === undefined ? message : `must ${phrase(keyword, asked)}`;
  return { pointer: instancePath, keyword, message: words ?? `must meet ${keyword}` };
}
