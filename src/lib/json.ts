import { hash } from "node:crypto";

export type Json = null | boolean | number | string | readonly Json[] | JsonObject;
export interface JsonObject {
  readonly [key: string]: Json;
}

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The value at a path of members; undefined where it leads nowhere. An inherited name is no member. */
export function valueAt(object: JsonObject, path: readonly string[]): Json | undefined {
  const step = (at: Json | undefined, key: string) =>
    isJsonObject(at) && Object.hasOwn(at, key) ? at[key] : undefined;
  return path.reduce<Json | undefined>(step, object);
}

/** JSON text with the keys of every object sorted by UTF-16 code unit, as in RFC 8785: equal values, equal text. */
export function canonicalJson(value: Json): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  if (!isJsonObject(value)) return JSON.stringify(value);
  let text = "";
  for (const key of Object.keys(value).sort())
    text += `${text === "" ? "" : ","}${JSON.stringify(key)}:${canonicalJson(value[key] as Json)}`;
  return `{${text}}`;
}

/** SHA-256, lower-case hex. */
export function sha256(bytes: string | Uint8Array): string {
  return hash("sha256", bytes);
}

/** SHA-256 of the canonical JSON text: one digest for equal values. */
export function digest(value: Json): string {
  return sha256(canonicalJson(value));
}
