import { isUtf8 } from "node:buffer";
import { type ErrorCode, PortcullisError } from "./errors.ts";
import type { Json } from "./json.ts";

export interface StrictJsonOptions {
  /** Deepest nesting of arrays and objects that is read. */
  readonly maxDepth: number;
  /** Most values, and a fifth as many arrays and objects, which cost the most; default: as many as there are bytes. */
  readonly maxValues?: number;
}

/** What a client's body may hold: read, frozen and hashed within a tenth of a second, before anyone asks who sent it. */
export const BODY_VALUES = 100_000;

/**
 * Reads one JSON document (RFC 8259) that every reader understands alike (the interoperable subset of RFC 7493),
 * as a deeply frozen value.
 *
 * A number is accepted when the shortest decimal that names its double denotes the same decimal value, because
 * that decimal is what is forwarded: `1.0`, `1e2`, `-0` and 9007199254740992 are; 9007199254740993, `1e400`,
 * `1e-400` and 0.1000000000000000055 are not.
 *
 * @throws PortcullisError `json_invalid`: not JSON in UTF-8. `json_refused`: JSON that two readers could take for
 * different values: a repeated key, `__proto__`, NUL in a key, a lone surrogate, a byte order mark, a number that
 * does not round-trip, nesting past `maxDepth`, or more than `maxValues`.
 */
export function parseStrict(
  bytes: Uint8Array,
  { maxDepth, maxValues = Number.POSITIVE_INFINITY }: StrictJsonOptions,
): Json {
  if (bytes.length === 0) throw unreadable("json_invalid", "it is empty");
  if (!isUtf8(bytes)) throw unreadable("json_invalid", "it is not UTF-8");
  if (bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) {
    throw unreadable("json_refused", "it starts with a byte order mark");
  }
  // Before parsing, so that hostile nesting costs no more than reading its bytes.
  const members = scan(bytes, maxDepth, maxValues);
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("utf8");
  let value: Json;
  try {
    value = JSON.parse(text);
  } catch {
    throw unreadable("json_invalid", "it is not one JSON document");
  }
  // A parsed object keeps one member for each distinct key: any shortfall is a key that stood there twice.
  if (freeze(value) !== members) throw unreadable("json_refused", "an object repeats a key");
  return value;
}

function unreadable(code: ErrorCode & `json_${string}`, reason: string): PortcullisError {
  const what =
    code === "json_invalid" ? "The body is not valid JSON" : "The body is JSON that is refused here";
  return new PortcullisError(code, { reason, text: `${what}: ${reason}.` });
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** Checks what `JSON.parse` forgives, without judging the grammar, and counts the members of all objects. */
function scan(bytes: Uint8Array, maxDepth: number, maxValues: number): number {
  let members = 0;
  let depth = 0;
  let containers = 0;
  let commas = 0;
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at] as number;
    if (byte === QUOTE) {
      at = endOfString(bytes, at + 1);
    } else if (byte === 0x3a /* : */) {
      members++;
    } else if (byte === 0x7b /* { */ || byte === 0x5b /* [ */) {
      if (++depth > maxDepth) throw unreadable("json_refused", `it nests deeper than ${maxDepth}`);
      if (++containers > maxValues / 5)
        throw unreadable("json_refused", `it holds more than ${maxValues / 5} arrays and objects`);
    } else if (byte === 0x7d /* } */ || byte === 0x5d /* ] */) {
      depth--;
    } else if (byte === 0x2c /* , */) {
      if (++commas > maxValues) throw unreadable("json_refused", `it holds more than ${maxValues} values`);
    } else if (isNumberByte(byte)) {
      at = endOfNumber(bytes, at);
    }
  }
  return members;
}

/** Index of the closing quote. Raw surrogates are no UTF-8, so only escaped ones are looked for. */
function endOfString(bytes: Uint8Array, start: number): number {
  let at = start;
  while (at < bytes.length && bytes[at] !== QUOTE) {
    if (bytes[at] !== BACKSLASH) {
      at++;
      continue;
    }
    const unit = escapedUnit(bytes, at);
    if (isLowSurrogate(unit)) throw unreadable("json_refused", "a string holds a lone surrogate");
    if (unit >= 0xd800 && unit <= 0xdbff) {
      if (!isLowSurrogate(escapedUnit(bytes, at + 6))) {
        throw unreadable("json_refused", "a string holds a lone surrogate");
      }
      at += 12;
    } else {
      at += 2;
    }
  }
  return at;
}

function isLowSurrogate(unit: number): boolean {
  return unit >= 0xdc00 && unit <= 0xdfff;
}

/** The UTF-16 code unit of a `\uXXXX` escape at `at`, or -1 where there is none. */
function escapedUnit(bytes: Uint8Array, at: number): number {
  if (bytes[at] !== BACKSLASH || bytes[at + 1] !== 0x75 /* u */) return -1;
  let unit = 0;
  for (let digit = at + 2; digit < at + 6; digit++) {
    const value = hexValue(bytes[digit] ?? 0);
    if (value < 0) return -1;
    unit = unit * 16 + value;
  }
  return unit;
}

function hexValue(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const letter = byte | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1;
}

function isNumberByte(byte: number): boolean {
  return (byte >= 0x30 && byte <= 0x39) || byte === 0x2d /* - */;
}

/** Fifteen significant digits always survive a double that is not subnormal (IEEE 754). */
const SURELY_EXACT = 15;

/** Index of the number's last byte. */
function endOfNumber(bytes: Uint8Array, start: number): number {
  let at = start;
  let exponent = false;
  for (; at < bytes.length; at++) {
    const byte = bytes[at] as number;
    if (byte === 0x65 || byte === 0x45 /* e E */) exponent = true;
    else if (!isNumberByte(byte) && byte !== 0x2e /* . */ && byte !== 0x2b /* + */) break;
  }
  if (exponent || at - start > SURELY_EXACT) {
    const token = Buffer.from(bytes.buffer, bytes.byteOffset + start, at - start).toString("latin1");
    if (!roundTrips(token)) {
      const shown = token.length > 40 ? `${token.slice(0, 40)}…` : token;
      throw unreadable("json_refused", `${shown} would be rounded by some readers (no double holds it)`);
    }
  }
  return at - 1;
}

function roundTrips(token: string): boolean {
  const double = Number(token);
  // NaN: not a number at all, which the parser will say better.
  if (Number.isNaN(double)) return true;
  const size = Math.abs(double);
  if (token.length <= SURELY_EXACT && size > Number.MIN_VALUE / Number.EPSILON && size < Infinity)
    return true;
  return Number.isFinite(double) && decimalValue(token) === decimalValue(String(double));
}

/** The absolute value of a number token, written in one way: digits without outer zeros, and their exponent. */
function decimalValue(token: string): string {
  const [mantissa = "", exponent = "0"] = token.replace(/^-/, "").toLowerCase().split("e");
  const [whole = "", fraction = ""] = mantissa.split(".");
  const digits = whole + fraction;
  let first = 0;
  let last = digits.length;
  while (first < last && digits[first] === "0") first++;
  while (last > first && digits[last - 1] === "0") last--;
  return first === last
    ? "0"
    : `${digits.slice(first, last)}e${Number(exponent) - fraction.length + digits.length - last}`;
}

/** Freezes the value, all through, and counts its members. Depth is bounded by the scan. */
function freeze(value: Json): number {
  if (typeof value !== "object" || value === null) return 0;
  let members = 0;
  if (Array.isArray(value)) {
    for (const item of value) members += freeze(item);
  } else {
    const object = value as { readonly [key: string]: Json };
    for (const key in object) {
      if (key === "__proto__") throw unreadable("json_refused", "a key is __proto__");
      if (key.includes("\0")) throw unreadable("json_refused", "a key holds NUL");
      members += 1 + freeze(object[key] as Json);
    }
  }
  Object.freeze(value);
  return members;
}
