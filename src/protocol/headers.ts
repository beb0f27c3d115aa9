import type { Era, ParamHeader } from "../domain.ts";
import { type Json, type JsonObject, valueAt } from "../lib/json.ts";
import { mismatch } from "./refusals.ts";

type ReadHeader = (name: string) => string | undefined;

/** What of a request its headers repeat. */
interface Repeated {
  readonly era: Era;
  readonly method: string;
  /** The value that `Mcp-Name` repeats; undefined where the method names nothing. */
  readonly name: Json | undefined;
  readonly header: ReadHeader;
}

/**
 * Proxies route and filter by headers, so a header that disagrees with the body is refused (MCP 2026-07-28,
 * Streamable HTTP, Standard Request Headers). Modern requests must have them; legacy ones may not contradict them.
 *
 * @throws PortcullisError `header_mismatch`
 */
export function requireStandardHeaders({ era, method, name, header }: Repeated): void {
  const required = era === "modern";
  if (required && header("mcp-protocol-version") === undefined)
    throw mismatch("MCP-Protocol-Version is missing");
  requireEqual("Mcp-Method", method, header, required);
  if (typeof name === "string") requireEqual("Mcp-Name", name, header, required);
}

function requireEqual(title: string, value: string, header: ReadHeader, required: boolean): void {
  const sent = header(title.toLowerCase());
  if (sent === undefined) {
    if (required) throw mismatch(`${title} is missing`);
  } else if (decoded(sent) !== value) {
    throw mismatch(`${title} is not what the body says`);
  }
}

/**
 * Checks `Mcp-Param-*` of a modern call against its arguments, once its target is known to be visible. Headers that
 * the tool does not declare are ignored.
 *
 * @throws PortcullisError `header_mismatch`
 */
export function requireParamHeaders(
  declared: readonly ParamHeader[],
  args: JsonObject,
  header: ReadHeader,
): void {
  for (const { name, path } of declared) {
    const value = valueAt(args, path);
    if (value === undefined || value === null || typeof value === "object") continue;
    const title = `Mcp-Param-${name}`;
    const sent = header(title.toLowerCase());
    if (sent === undefined) throw mismatch(`${title} is missing`);
    if (!says(decoded(sent), value)) throw mismatch(`${title} is not what the arguments say`);
  }
}

const DECIMAL = /^-?\d+(\.\d+)?$/;

/** `42.0` says the integer 42, but not the string "42". */
function says(sent: string | undefined, value: string | number | boolean): boolean {
  if (sent === String(value)) return true;
  return typeof value === "number" && sent !== undefined && DECIMAL.test(sent) && Number(sent) === value;
}

const ENCODED = /^=\?base64\?((?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?)\?=$/;
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** A header value as it was meant; undefined where an encoded one is not canonical Base64 of UTF-8. */
function decoded(sent: string): string | undefined {
  if (!sent.startsWith("=?base64?") || !sent.endsWith("?=")) return sent;
  const [, base64] = ENCODED.exec(sent) ?? [];
  if (base64 === undefined) return undefined;
  try {
    return utf8.decode(Buffer.from(base64, "base64"));
  } catch {
    return undefined;
  }
}
