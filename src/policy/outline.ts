import { isJsonObject, type Json, type JsonObject } from "../lib/json.ts";
import type { UpstreamPattern } from "./pattern.ts";

/**
 * What a pinned schema declares at one place of the arguments: the names in `properties`, `required` and
 * `patternProperties`, and any name where `additionalProperties` is a schema that says something, through `$ref`, `allOf`, `anyOf` and the like.
 * `additionalProperties: true`, `{}` or absent declares nothing.
 */
export interface Outline {
  has(name: string): boolean;
  readonly names: ReadonlySet<string>;
  readonly patterns: readonly string[];
  /** Any name is declared. */
  readonly open: boolean;
  /** What is declared within a member, or within the items of an array. */
  member(name: string): Outline;
  items(): Outline;
}

/** The patterns of a schema that can be matched, by their source. */
export type Patterns = ReadonlyMap<string, UpstreamPattern>;

const IN_PLACE = [
  "$ref",
  "allOf",
  "anyOf",
  "oneOf",
  "if",
  "then",
  "else",
  "dependentSchemas",
  "dependencies",
];
const ITEMS = ["items", "prefixItems", "additionalItems", "unevaluatedItems"];
const REST = ["additionalProperties", "unevaluatedProperties"];

export function outline(root: JsonObject, engines: Patterns, schemas: readonly Json[] = [root]): Outline {
  const nodes = expand(root, schemas);
  const names = new Set(nodes.flatMap((node) => [...keysOf(node.properties), ...requiredOf(node)]));
  const patterns = [...new Set(nodes.flatMap((node) => keysOf(node.patternProperties)))];
  const open = nodes.some((node) => REST.some((key) => keysOf(node[key]).length > 0));
  const members = new Map<string, Outline>();
  let items: Outline | null = null;
  return {
    names,
    patterns,
    open,
    has: (name) => open || names.has(name) || patterns.some((source) => engines.get(source)?.test(name)),
    member(name) {
      const known =
        members.get(name) ??
        outline(
          root,
          engines,
          nodes.flatMap((node) => [
            ...memberSchemas(node, name, engines),
            node.unevaluatedProperties ?? false,
          ]),
        );
      members.set(name, known);
      return known;
    },
    items() {
      items ??= outline(
        root,
        engines,
        nodes.flatMap((node) => ITEMS.flatMap((key) => node[key] ?? [])),
      );
      return items;
    },
  };
}

/** The schemas that one schema object itself applies to a member: its own, by pattern, or else the additional one. */
export function memberSchemas(schema: JsonObject, name: string, engines: Patterns): readonly Json[] {
  const own = isJsonObject(schema.properties) && Object.hasOwn(schema.properties, name);
  const schemas = own ? [(schema.properties as JsonObject)[name] as Json] : [];
  const byPattern = schema.patternProperties;
  for (const source of keysOf(byPattern)) {
    if (engines.get(source)?.test(name)) schemas.push((byPattern as JsonObject)[source] as Json);
  }
  if (schemas.length > 0) return schemas;
  return schema.additionalProperties === undefined ? [] : [schema.additionalProperties];
}

/** The schema objects that apply at the same place, references followed, each once. */
function expand(root: JsonObject, schemas: readonly Json[]): readonly JsonObject[] {
  const found = new Set<JsonObject>();
  const waiting = [...schemas];
  for (let schema = waiting.pop(); schema !== undefined; schema = waiting.pop()) {
    if (!isJsonObject(schema) || found.has(schema)) continue;
    found.add(schema);
    for (const key of IN_PLACE) waiting.push(...applied(root, key, schema[key]));
  }
  return [...found];
}

function applied(root: JsonObject, key: string, value: Json | undefined): readonly Json[] {
  if (key === "$ref") return [resolve(root, value) ?? false];
  if (Array.isArray(value)) return value;
  if (!isJsonObject(value)) return [];
  return key.startsWith("depend") ? Object.values(value) : [value];
}

/** The target of a `$ref` within the document, by JSON Pointer; undefined for any other reference. */
export function resolve(root: JsonObject, ref: Json | undefined): Json | undefined {
  if (ref === "#") return root;
  if (typeof ref !== "string" || !ref.startsWith("#/")) return undefined;
  let at: Json | undefined = root;
  for (const segment of ref.slice(2).split("/")) {
    const name = pointerSegment(segment);
    at =
      typeof at === "object" && at !== null && name !== null && Object.hasOwn(at, name)
        ? (at as JsonObject)[name]
        : undefined;
  }
  return at;
}

function pointerSegment(segment: string): string | null {
  try {
    return decodeURIComponent(segment).replaceAll("~1", "/").replaceAll("~0", "~");
  } catch {
    return null;
  }
}

/** The names in a schema's `required`. */
export function requiredOf(schema: JsonObject): readonly string[] {
  return Array.isArray(schema.required) ? schema.required.filter((name) => typeof name === "string") : [];
}

function keysOf(value: Json | undefined): readonly string[] {
  return isJsonObject(value) ? Object.keys(value) : [];
}
