import { PortcullisError } from "../lib/errors.ts";
import { isJsonObject, type Json } from "../lib/json.ts";

/** One page of a list: `next` is undefined on the last. */
export interface Page<T> {
  readonly items: readonly T[];
  readonly next: string | undefined;
}

/**
 * Cuts a page out of a list. The cursor names the list's digest and an offset, so that a list which changed under
 * it is started again (`params_invalid`) instead of skipping or repeating targets.
 */
export function pageOf<T>(
  list: readonly T[],
  listDigest: string,
  cursor: Json | undefined,
  size: number,
): Page<T> {
  const start = cursor === undefined ? 0 : offsetIn(cursor, listDigest);
  const end = start + size;
  const next =
    end < list.length
      ? Buffer.from(JSON.stringify({ list: listDigest, at: end })).toString("base64url")
      : undefined;
  return { items: list.slice(start, end), next };
}

const MAX_LENGTH = 256;

function offsetIn(cursor: Json, listDigest: string): number {
  const refusal = () =>
    new PortcullisError("params_invalid", {
      text: "This cursor is no longer valid: list again from the start.",
    });
  // Ours are short, and what is not is not taken apart.
  if (typeof cursor !== "string" || cursor.length > MAX_LENGTH) throw refusal();
  let position: unknown;
  try {
    position = JSON.parse(Buffer.from(cursor, "base64url").toString());
  } catch {
    throw refusal();
  }
  if (!isJsonObject(position) || position.list !== listDigest) throw refusal();
  const { at } = position;
  if (typeof at !== "number" || !Number.isInteger(at) || at < 0) throw refusal();
  return at;
}
