import { PortcullisError } from "./errors.ts";
import type { Json } from "./json.ts";

/**
 * Where values end in JSON text (RFC 8259), which is judged on the way and built of nothing: a parser works for seconds on
 * some megabytes of brackets, and whoever sends them must not have that of everybody's thread.
 */

const [OBJECT, ARRAY, COMMA, COLON] = [0x7b, 0x5b, 0x2c, 0x3a];
const [QUOTE, BACKSLASH, LETTER_U] = [0x22, 0x5c, 0x75];
const [MINUS, PLUS, DOT, ZERO] = [0x2d, 0x2b, 0x2e, 0x30];

/** As deep as Go's parser reads; most read less. */
const MAX_DEPTH = 10_000;
/** What closes that which is open, level by level. A reading never waits, so that it has them for itself. */
const closings = new Uint8Array(MAX_DEPTH);

export function notJson(): PortcullisError {
  return new PortcullisError("upstream_protocol", { reason: "it is not JSON" });
}

export function skipSpace(text: string, start: number): number {
  let at = start;
  while (isSpace(text.charCodeAt(at))) at++;
  return at;
}

function isSpace(unit: number): boolean {
  return unit === 0x20 || unit === 0x0a || unit === 0x0d || unit === 0x09;
}

/**
 * Index after the value that starts at `start`. Counts levels instead of recursing: depth is the sender's.
 *
 * @throws PortcullisError `upstream_protocol` where there is none, or where it is nested deeper than anyone reads
 */
export function endOfValue(text: string, start: number): number {
  let depth = 0;
  let at = start;
  do {
    const unit = text.charCodeAt(at);
    if (unit === OBJECT || unit === ARRAY) {
      if (depth === MAX_DEPTH) throw tooDeep();
      closings[depth++] = closingOf(unit);
      at = skipSpace(text, at + 1);
      if (text.charCodeAt(at) !== closingOf(unit)) {
        at = unit === OBJECT ? startOfMember(text, at) : at;
        continue;
      }
    } else at = endOfScalar(text, at);
    while (depth > 0) {
      at = skipSpace(text, at);
      const next = text.charCodeAt(at++);
      const closing = closings[depth - 1];
      if (next === COMMA) {
        at = skipSpace(text, at);
        if (closing === closingOf(OBJECT)) at = startOfMember(text, at);
        break;
      }
      if (next !== closing) throw notJson();
      depth -= 1;
    }
  } while (depth > 0);
  return at;
}

/** In ASCII either bracket closes two after it opens. */
function closingOf(bracket: number): number {
  return bracket + 2;
}

function tooDeep(): PortcullisError {
  return new PortcullisError("upstream_protocol", { reason: `it is nested deeper than ${MAX_DEPTH}` });
}

/** Index of the value of the member whose key starts at `start`. */
function startOfMember(text: string, start: number): number {
  return startOfMemberValue(text, endOfString(text, start));
}

/** Index of the value after a key. */
export function startOfMemberValue(text: string, keyEnd: number): number {
  const colon = skipSpace(text, keyEnd);
  if (text.charCodeAt(colon) !== COLON) throw notJson();
  return skipSpace(text, colon + 1);
}

/** What may stand in a string as it is. To start it costs as much as a few dozen characters one by one. */
const PLAIN = /[ !#-[\]-\uffff]*/y;
const LONG = 64;

/** Index after the closing quote of the string that opens at `start`. */
export function endOfString(text: string, start: number): number {
  if (text.charCodeAt(start) !== QUOTE) throw notJson();
  let at = start + 1;
  let long = at + LONG;
  for (let unit = text.charCodeAt(at); unit !== QUOTE; unit = text.charCodeAt(at)) {
    // Also false where the text is over.
    if (!(unit >= 0x20)) throw notJson();
    at = unit === BACKSLASH ? endOfEscape(text, at + 1) : at + 1;
    if (at < long) continue;
    PLAIN.lastIndex = at;
    PLAIN.test(text);
    at = PLAIN.lastIndex;
    long = at + LONG;
  }
  return at + 1;
}

function endOfEscape(text: string, start: number): number {
  const unit = text.charCodeAt(start);
  if (unit !== LETTER_U) {
    if (!'"\\/bfnrt'.includes(text.charAt(start) || "?")) throw notJson();
    return start + 1;
  }
  for (let at = start + 1; at <= start + 4; at++) if (!isHex(text.charCodeAt(at))) throw notJson();
  return start + 5;
}

function isHex(unit: number): boolean {
  const letter = unit | 0x20;
  return isDigit(unit) || (letter >= 0x61 && letter <= 0x66);
}

function isDigit(unit: number): boolean {
  return unit >= ZERO && unit <= 0x39;
}

function endOfScalar(text: string, start: number): number {
  const unit = text.charCodeAt(start);
  if (unit === QUOTE) return endOfString(text, start);
  if (unit === MINUS || isDigit(unit)) return endOfNumber(text, start);
  if (unit === 0x74 /* t */ && text.startsWith("true", start)) return start + 4;
  if (unit === 0x66 /* f */ && text.startsWith("false", start)) return start + 5;
  if (unit === 0x6e /* n */ && text.startsWith("null", start)) return start + 4;
  throw notJson();
}

function endOfNumber(text: string, start: number): number {
  let at = text.charCodeAt(start) === MINUS ? start + 1 : start;
  at = text.charCodeAt(at) === ZERO ? at + 1 : endOfDigits(text, at);
  if (text.charCodeAt(at) === DOT) at = endOfDigits(text, at + 1);
  if ((text.charCodeAt(at) | 0x20) !== 0x65 /* e E */) return at;
  const sign = text.charCodeAt(at + 1);
  return endOfDigits(text, sign === MINUS || sign === PLUS ? at + 2 : at + 1);
}

/** Index after one digit or more. */
function endOfDigits(text: string, start: number): number {
  let at = start;
  while (isDigit(text.charCodeAt(at))) at++;
  if (at === start) throw notJson();
  return at;
}

/** Values that are built for one text: tens of milliseconds of a parser at worst. */
const MAX_VALUES = 20_000;

/**
 * The value itself, for the few texts of others that are looked into.
 *
 * @throws PortcullisError `upstream_protocol` for no JSON, or more values than anybody describes himself with
 */
export function valueIn(text: string): Json {
  // A value and what parts it from the next take two characters at least.
  if (text.length > 2 * MAX_VALUES && valuesIn(text) > MAX_VALUES)
    throw new PortcullisError("upstream_protocol", { reason: `it holds more than ${MAX_VALUES} values` });
  try {
    return JSON.parse(text);
  } catch {
    throw notJson();
  }
}

/** Every value but the first of all follows a bracket or a comma. */
function valuesIn(text: string): number {
  let values = 1;
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    if (unit === QUOTE) at = endOfString(text, at) - 1;
    else if (unit === COMMA || unit === OBJECT || unit === ARRAY) values += 1;
  }
  return values;
}
