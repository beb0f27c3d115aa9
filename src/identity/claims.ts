import { PortcullisError } from "../lib/errors.ts";
import { isJsonObject, type Json, type JsonObject } from "../lib/json.ts";
import { isPlainText } from "../lib/plain-text.ts";

/** Where a claim stands: the exact name of a top-level claim, or the names on the way to a nested one. */
export type ClaimPath = string | readonly string[];

const MAX_LENGTH = 512;

/** Reads claims by type. An absent claim is the empty value; one of the wrong type is refused, never coerced. */
export interface Claims {
  text(path: ClaimPath): string;
  texts(path: ClaimPath): readonly string[];
  /** Space-separated, or an array (RFC 9068 `scope`, the `scp` of some issuers). */
  words(path: ClaimPath): readonly string[];
  /** Seconds since the epoch, or 0. */
  time(path: ClaimPath): number;
  object(path: ClaimPath): JsonObject | undefined;
  value(path: ClaimPath): Json | undefined;
}

export function createClaims(payload: JsonObject): Claims {
  function value(path: ClaimPath): Json | undefined {
    let at: Json | undefined = payload;
    for (const name of typeof path === "string" ? [path] : path) {
      if (!isJsonObject(at)) throw wrongType(path);
      if (!Object.hasOwn(at, name)) return undefined;
      at = at[name];
    }
    return at;
  }

  function texts(path: ClaimPath): readonly string[] {
    const found = value(path);
    if (found === undefined) return [];
    if (!Array.isArray(found) || !found.every(isFit)) throw wrongType(path);
    return inOrder(found);
  }

  return {
    value,
    texts,
    text(path) {
      const found = value(path);
      if (found === undefined) return "";
      if (found !== "" && !isFit(found)) throw wrongType(path);
      return found;
    },
    words(path) {
      const found = value(path);
      if (typeof found !== "string") return texts(path);
      const words = found.split(" ").filter((word) => word !== "");
      if (!words.every(isFit)) throw wrongType(path);
      return inOrder(words);
    },
    time(path) {
      const found = value(path);
      if (found === undefined) return 0;
      if (typeof found !== "number" || found < 0) throw wrongType(path);
      return Math.floor(found);
    },
    object(path) {
      const found = value(path);
      if (found === undefined) return undefined;
      if (!isJsonObject(found)) throw wrongType(path);
      return found;
    },
  };
}

/** The refusal of a claim that is not what it should be. The path, never the value, goes to the record. */
export function wrongType(path: ClaimPath): PortcullisError {
  const name = typeof path === "string" ? path : path.join(".");
  return new PortcullisError("token_invalid", { reason: `claim ${name} has the wrong type` });
}

function isFit(value: Json): value is string {
  return typeof value === "string" && value !== "" && isPlainText(value, MAX_LENGTH);
}

/** Sets in one order: equal sets, equal digests. */
function inOrder(values: readonly string[]): readonly string[] {
  return [...new Set(values)].sort();
}
