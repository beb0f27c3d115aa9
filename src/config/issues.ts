import { z } from "zod";
import { isJsonObject, type Json, type JsonObject } from "../lib/json.ts";
import type { SourceDocument } from "./document.ts";
import { type ConfigProblem, didYouMean, type Finding, type Path, type ProblemCode } from "./problems.ts";

type Issue = z.core.$ZodIssue;

export type Validated<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly problems: readonly ConfigProblem[] };

/** Checks a document against a schema; every problem at once, each where it stands. */
export function validate<T>(document: SourceDocument, schema: z.ZodType<T>): Validated<T> {
  const parsed = schema.safeParse(document.value);
  if (parsed.success) return { ok: true, value: parsed.data };
  const known = z.toJSONSchema(schema, { io: "input", unrepresentable: "any" }) as unknown as JsonObject;
  const found = findings(parsed.error.issues, [], { known, value: document.value });
  return { ok: false, problems: found.map(document.locate) };
}

interface Source {
  /** JSON Schema of the whole, for the names of known keys. */
  readonly known: JsonObject;
  readonly value: unknown;
}

function findings(issues: readonly Issue[], base: Path, source: Source): Finding[] {
  return issues.flatMap((issue) => {
    const path = [...base, ...issue.path.filter((step) => typeof step !== "symbol")];
    switch (issue.code) {
      case "unrecognized_keys":
        return issue.keys.map((key) => unknownKey(key, path, source));
      case "invalid_union":
        return issue.errors.length === 0
          ? [oneOf(path, discriminators(issue), source)]
          : findings(closestBranch(issue.errors), path, source);
      case "invalid_key":
        return [
          { code: "invalid_value", path, key: true, message: `"${path.at(-1)}": ${plain(issue.issues[0])}` },
        ];
      case "invalid_value":
        return [oneOf(path, issue.values, source)];
      case "invalid_type":
        return [wrongType(issue.expected, path, source)];
      case "custom":
        return [custom(issue, path)];
      default:
        return [{ code: "invalid_value", path, message: plain(issue) }];
    }
  });
}

/** What a `type` may be; absent from the published type of the issue. */
function discriminators(issue: object): readonly unknown[] {
  return "options" in issue && Array.isArray(issue.options) ? issue.options : [];
}

function unknownKey(key: string, path: Path, { known, value }: Source): Finding {
  const alternatives = keysAt(known, path);
  const keys = [...new Set(alternatives.flat())];
  const found = { path: [...path, key], key: true };
  if (keys.includes(key)) {
    const beside = misplacedBeside(key, alternatives, valueAt(value, path) as JsonObject);
    return { ...found, code: "conflict", message: `"${key}" does not go with ${beside}` };
  }
  const hint = didYouMean(key, keys) || (keys.length === 0 ? "" : `known here: ${keys.join(", ")}`);
  return { ...found, code: "unknown_key", message: `unknown key "${key}"`, hint };
}

/** Of a key that another alternative has: what stands here and not there, or the type that chose this one. */
function misplacedBeside(
  key: string,
  alternatives: readonly (readonly string[])[],
  here: JsonObject,
): string {
  const homes = alternatives.filter((keys) => keys.includes(key));
  const strange = Object.keys(here).filter((other) => !homes.some((keys) => keys.includes(other)));
  if (strange.length > 0) return strange.map((other) => `"${other}"`).join(", ");
  return typeof here.type === "string" ? `type ${here.type}` : "what stands beside it";
}

function wrongType(expected: string, path: Path, { value }: Source): Finding {
  const found = valueAt(value, path);
  if (found === undefined && path.length > 0) {
    return {
      code: "missing_key",
      path: path.slice(0, -1),
      key: true,
      message: `"${path.at(-1)}" is missing`,
    };
  }
  const words: Readonly<Record<string, string>> = {
    record: "a mapping",
    object: "a mapping",
    array: "a list",
    int: "a whole number",
  };
  const type =
    found === null || found === undefined ? "nothing" : Array.isArray(found) ? "a list" : typeof found;
  const message = `expected ${words[expected] ?? `a ${expected}`}, found ${type === "object" ? "a mapping" : type}`;
  return { code: "wrong_type", path, message };
}

function oneOf(path: Path, options: readonly unknown[], { value }: Source): Finding {
  const found = valueAt(value, path);
  if (found === undefined) {
    return {
      code: "missing_key",
      path: path.slice(0, -1),
      key: true,
      message: `"${path.at(-1)}" is missing`,
      hint: options.join(", "),
    };
  }
  const hint = typeof found === "string" ? didYouMean(found, options.map(String)) : "";
  return { code: "invalid_value", path, message: `expected one of ${options.join(", ")}`, hint };
}

function custom(issue: Extract<Issue, { code: "custom" }>, path: Path): Finding {
  const { code = "invalid_value", hint = "" } = (issue.params ?? {}) as { code?: ProblemCode; hint?: string };
  return { code, path, message: issue.message, hint };
}

function plain(issue: Issue | undefined): string {
  const message = issue?.message ?? "not accepted";
  return message.charAt(0).toLowerCase() + message.slice(1);
}

/** Of several shapes, the one that was most likely meant: the fewest keys too many or too few. */
function closestBranch(branches: readonly (readonly Issue[])[]): readonly Issue[] {
  const strangeness = (issues: readonly Issue[]): number =>
    issues.reduce((sum, issue) => {
      if (issue.code === "unrecognized_keys" && issue.path.length === 0) return sum + issue.keys.length;
      if (issue.code === "invalid_type")
        return sum + (issue.path.length === 0 ? 1000 : issue.path.length === 1 ? 1 : 0);
      return sum;
    }, 0);
  return [...branches].sort((a, b) => strangeness(a) - strangeness(b) || a.length - b.length)[0] ?? [];
}

function valueAt(value: unknown, path: Path): unknown {
  let at = value;
  for (const step of path) {
    if (typeof at !== "object" || at === null || !Object.hasOwn(at, step)) return undefined;
    at = (at as Readonly<Record<string, unknown>>)[step];
  }
  return at;
}

/** The keys that a JSON Schema declares at a path, those of each alternative. */
function keysAt(schema: Json | undefined, path: Path): string[][] {
  if (!isJsonObject(schema)) return [];
  const branches = schema.anyOf ?? schema.oneOf;
  if (Array.isArray(branches)) return branches.flatMap((branch: Json) => keysAt(branch, path));
  const properties = isJsonObject(schema.properties) ? schema.properties : {};
  const [step, ...rest] = path;
  if (step === undefined) return [Object.keys(properties)];
  if (typeof step === "number") return keysAt(schema.items, rest);
  return keysAt(Object.hasOwn(properties, step) ? properties[step] : schema.additionalProperties, rest);
}
