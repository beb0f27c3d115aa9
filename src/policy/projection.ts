import { isJsonObject, type Json, type JsonObject } from "../lib/json.ts";
import type { Path } from "./toolchain-types.ts";

/** Bounds of what is handed to the evaluator, whose parser dies of deep nesting and of lone surrogates. */
export interface InputLimits {
  /** Bytes of one evaluation's input, after projection. */
  readonly inputBytes: number;
  /** Nesting of any one member of it. */
  readonly inputDepth: number;
}

/** Members that the policy reads; "all" for a value that it takes whole. */
type Tree = "all" | ReadonlyMap<string, Tree>;

/** Serialises one member of the input (`principal`, `target` …), leaving out what no rule reads. */
export type Projector = (value: object) => string;

/**
 * Smaller input is faster input, and what is left out cannot tell one cache key from another.
 *
 * @param paths from PolicyFacts.reads, below `input`
 * @param member the first step of the paths that count
 * @throws from the projector: Error, when the value is not fit for the evaluator
 */
export function createProjector(paths: readonly Path[], member: string, depth: number): Projector {
  const below = paths.filter(([first]) => first === member).map((path) => path.slice(1));
  const tree = treeOf(below);
  return (value) => fitJson(project(value as JsonObject, tree), member, depth);
}

/** JSON text that the evaluator's parser survives. @throws Error when there is none of this value */
export function fitJson(value: Json, member: string, depth: number): string {
  if (deeperThan(value, depth)) throw new Error(`input: ${member} is nested deeper than ${depth}`);
  const text = JSON.stringify(value);
  if (hasLoneSurrogate(text)) throw new Error(`input: ${member} holds a lone surrogate`);
  return text;
}

/** The same, remembered per object: principals, tenants' records and targets are immutable and seen again. */
export function remembered<T extends object>(projector: (value: T) => string): (value: T) => string {
  const texts = new WeakMap<T, string>();
  return (value) => {
    const known = texts.get(value);
    if (known !== undefined) return known;
    const text = projector(value);
    texts.set(value, text);
    return text;
  };
}

function treeOf(paths: readonly Path[]): Tree {
  if (paths.some((path) => path.length === 0)) return "all";
  const heads = new Set(paths.map(([head]) => head as string));
  return new Map(
    [...heads].map((head) => [
      head,
      treeOf(paths.filter((path) => path[0] === head).map((path) => path.slice(1))),
    ]),
  );
}

/** Arrays are kept whole: a path goes no further than an index that varies. */
function project(value: Json, tree: Tree): Json {
  if (tree === "all" || !isJsonObject(value)) return value;
  const members = [...tree].filter(([key]) => Object.hasOwn(value, key));
  return Object.fromEntries(members.map(([key, below]) => [key, project(value[key] as Json, below)]));
}

function deeperThan(value: Json, depth: number): boolean {
  if (typeof value !== "object" || value === null) return false;
  if (depth === 0) return true;
  return Object.values(value).some((item) => deeperThan(item, depth - 1));
}

/** JSON.stringify writes a lone surrogate as an escape and every other character above U+001F as itself. */
function hasLoneSurrogate(json: string): boolean {
  return json.includes("\\ud") && /(?:^|[^\\])(?:\\\\)*\\ud[89a-f]/.test(json);
}
