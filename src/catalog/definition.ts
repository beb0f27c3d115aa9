import { isJsonObject, type JsonObject, sha256 } from "../lib/json.ts";
import { elementsOf, membersOf } from "../lib/members.ts";
import { declaredParamHeaders, type ParamHeader } from "../lib/param-headers.ts";

/** A tool as its upstream announces it. */
export interface Definition {
  readonly name: string;
  /** Each member as the text that the upstream sent. */
  readonly members: ReadonlyMap<string, string>;
  readonly inputSchema: JsonObject;
  readonly paramHeaders: readonly ParamHeader[];
  /** What policy sees: untrusted, bounded, every field present. */
  readonly announced: JsonObject;
  /** Equal for equal definitions, whatever the order of their members. */
  readonly canonical: string;
  readonly digest: string;
}

export interface Refusal {
  readonly name: string;
  readonly reason: string;
}

export const TARGET_NAME = /^[A-Za-z0-9_.-]{1,128}$/;
const MAX_BYTES = 128 * 1024;
const MAX_DEPTH = 64;
const ANNOUNCED = { title: 256, description: 4096, annotations: 4096 };

/** Reads one tool definition from its text. */
export function readDefinition(text: string): Definition | Refusal {
  if (Buffer.byteLength(text) > MAX_BYTES)
    return { name: "?", reason: `it is larger than ${MAX_BYTES} bytes` };
  let name = "?";
  try {
    const members = membersOf(text);
    const value = JSON.parse(text) as JsonObject;
    if (typeof value.name !== "string") return { name, reason: "it has no name" };
    name = value.name.slice(0, 128);
    if (!TARGET_NAME.test(value.name))
      return { name, reason: "its name is not 1-128 characters of A-Z a-z 0-9 _ . -" };
    const { inputSchema } = value;
    if (!isJsonObject(inputSchema)) return { name, reason: "its inputSchema is not an object" };
    const paramHeaders = declaredParamHeaders(inputSchema);
    if (paramHeaders === undefined)
      return { name, reason: "it declares x-mcp-header where that is not allowed" };
    const canonical = canonicalText(text);
    return {
      name,
      members,
      inputSchema,
      paramHeaders,
      announced: announcedOf(value),
      canonical,
      digest: sha256(canonical),
    };
  } catch (error) {
    return { name, reason: error instanceof Error ? error.message : "it cannot be read" };
  }
}

export function isRefusal(read: Definition | Refusal): read is Refusal {
  return "reason" in read;
}

function announcedOf({ title, description, annotations }: JsonObject): JsonObject {
  const bounded = isJsonObject(annotations) && JSON.stringify(annotations).length <= ANNOUNCED.annotations;
  return {
    title: typeof title === "string" ? title.slice(0, ANNOUNCED.title) : "",
    description: typeof description === "string" ? description.slice(0, ANNOUNCED.description) : "",
    annotations: bounded ? annotations : {},
  };
}

/** JSON text with sorted keys; numbers stay as written, so that a change beyond 2^53 is a change. */
export function canonicalText(text: string, depth = 0): string {
  if (depth > MAX_DEPTH) throw new Error(`it is nested deeper than ${MAX_DEPTH}`);
  if (text.startsWith("{")) {
    const members = [...membersOf(text)].sort(([a], [b]) => (a < b ? -1 : 1));
    return `{${members.map(([key, value]) => `${JSON.stringify(key)}:${canonicalText(value, depth + 1)}`).join(",")}}`;
  }
  if (text.startsWith("["))
    return `[${elementsOf(text)
      .map((one) => canonicalText(one, depth + 1))
      .join(",")}]`;
  return text.startsWith('"') ? JSON.stringify(JSON.parse(text)) : text;
}
