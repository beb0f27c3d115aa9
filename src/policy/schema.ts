import {
  _,
  Ajv,
  type ErrorObject,
  type KeywordCxt,
  type KeywordDefinition,
  Name,
  type Options,
  type ValidateFunction,
} from "ajv";
import { Ajv2020 } from "ajv/dist/2020.js";
import { messageOf } from "../lib/errors.ts";
import type { Json, JsonObject } from "../lib/json.ts";
import { isMultipleOf } from "./decimal.ts";
import { type Enforceable, enforceable, STEPS_KEYWORD } from "./enforceable.ts";
import { equalJson, hasDuplicates, valueList } from "./equality.ts";
import { ajvFormats } from "./format.ts";
import { type Outline, outline, type Patterns, resolve } from "./outline.ts";
import { compileUpstreamPattern, regExpEngine } from "./pattern.ts";
import { schemaFault } from "./schema-size.ts";
import { CHARACTERS_PER_STEP, spend, TooCostly, withinSteps } from "./steps.ts";
import { pointerTo } from "./value-set.ts";
import { phrase } from "./words.ts";

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
  readonly patterns: Patterns;
  /** JSON Pointers of the keywords that are left to the upstream: patterns outside RE2, unknown formats. */
  readonly unenforced: readonly string[];
  /** null: the arguments fit. Never changes them: no coercion, no defaults. @throws TooCostly */
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
  const fault = schemaFault(inputSchema);
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
    const plain = enforceable(source);
    const { patterns, unenforced } = plain;
    // An instance each: ajv keeps every `$id` it has seen, and one upstream's must not answer another's `$ref`.
    const run = createAjv(dialect, { meta: false, validateSchema: false }, plain).compile({
      type: "object",
      ...plain.schema,
    });
    return {
      ok: true,
      schema: {
        dialect,
        source,
        outline: outline(source, patterns),
        patterns,
        unenforced,
        validate: (args) => withinSteps(args, () => validate(run, plain, args)),
      },
    };
  } catch (thrown) {
    return {
      ok: false,
      fault: `the schema cannot be compiled: ${messageOf(thrown)}`,
    };
  }
}

const metaValidators = new Map<Dialect, Ajv>();

function metaValidator(dialect: Dialect): Ajv {
  const known = metaValidators.get(dialect) ?? createAjv(dialect, { addUsedSchema: false });
  metaValidators.set(dialect, known);
  return known;
}

/** Applying one schema costs about this, and up to one error. */
const STEPS_PER_SCHEMA = 4;
const ERRORS_PER_STEP = 16;

/** Keywords that ajv enforces with our own code. */
const OURS = ["const", "enum", "multipleOf", "uniqueItems"];

/** @param plain of a schema that was made enforceable; a meta-schema is our own. */
function createAjv(dialect: Dialect, options: Options, plain?: Enforceable): Ajv {
  const find = (source: string) =>
    plain === undefined ? compileUpstreamPattern(source) : (plain.patterns.get(source) ?? null);
  const read = (said: Json) => (plain === undefined ? said : (plain.values[Number(said)] ?? null));
  const all: Options = {
    ...options,
    strict: false,
    logger: false,
    // Inherited names (`constructor`) are no arguments.
    ownProperties: true,
    // Inlining can grow the code exponentially, and to optimise it takes the square of its size.
    inlineRefs: false,
    formats: ajvFormats(),
    code: { regExp: regExpEngine(find), optimize: false },
  };
  const ajv = dialect === "draft-07" ? new Ajv(all) : new Ajv2020(all);
  for (const keyword of OURS) ajv.removeKeyword(keyword);
  for (const definition of ourKeywords(read)) ajv.addKeyword(definition);
  return ajv;
}

/** ajv's own compare with a library that calls a value's `valueOf`, look at every pair, and divide in binary. */
function ourKeywords(read: (said: Json) => Json): readonly KeywordDefinition[] {
  return [
    { keyword: STEPS_KEYWORD, before: "$ref", code: countSteps },
    {
      keyword: "const",
      compile: (said: Json) => (value: Json) => equalJson(read(said), value),
      errors: false,
    },
    {
      keyword: "enum",
      compile: (said: Json) => valueList(read(said) as readonly Json[]).has,
      errors: false,
    },
    {
      keyword: "multipleOf",
      type: "number",
      schemaType: "number",
      compile: (divisor: number) => (value: number) => Number.isFinite(value) && isMultipleOf(value, divisor),
      errors: false,
    },
    {
      keyword: "uniqueItems",
      type: "array",
      schemaType: "boolean",
      compile: (wanted: boolean) => (items: readonly Json[]) => !wanted || !hasDuplicates(items),
      errors: false,
    },
  ];
}

/** A recursive `$ref` under `anyOf` is walked 2^depth times: each schema that is applied counts, where it is applied. */
function countSteps(context: KeywordCxt): void {
  const { gen, data, schema } = context;
  const count = gen.scopeValue("func", { ref: spendOn });
  gen.code(_`${count}(${schema}, ${data}, ${new Name("errors")})`);
}

/** Applying a schema walks the value's members, and copies the errors so far. */
function spendOn(steps: number, value: Json, errors: number): void {
  spend(STEPS_PER_SCHEMA + steps + sizeOf(value) + errors / ERRORS_PER_STEP);
}

function sizeOf(value: Json): number {
  if (typeof value === "string") return value.length / CHARACTERS_PER_STEP;
  if (typeof value !== "object" || value === null) return 0;
  return Array.isArray(value) ? value.length : Object.keys(value).length;
}

function validate(run: ValidateFunction, plain: Enforceable, args: JsonObject): SchemaFailure | null {
  try {
    if (run(args) === true) return null;
  } catch {
    // Also a schema that refers to itself without end, or arguments that nest as deeply as it lets them.
    throw new TooCostly();
  }
  const errors = run.errors ?? [];
  const last = errors.at(-1);
  // Of alternatives the last error speaks of all of them; of a conditional the first one is the cause.
  const error = last?.keyword === "if" ? errors[0] : last;
  run.errors = null;
  return error === undefined
    ? { pointer: "", keyword: "schema", message: "must fit the schema" }
    : described(error, plain);
}

function described(error: ErrorObject, { schema, values }: Enforceable): SchemaFailure {
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
  const said = OURS.includes(keyword) ? resolve(schema, schemaPath) : undefined;
  const asked =
    (keyword === "const" || keyword === "enum") && said !== undefined ? values[Number(said)] : said;
  const words = asked === undefined ? message : `must ${phrase(keyword, asked)}`;
  return { pointer: instancePath, keyword, message: words ?? `must meet ${keyword}` };
}
