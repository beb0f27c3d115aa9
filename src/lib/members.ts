import { PortcullisError } from "./errors.ts";
import { isJsonObject, type JsonObject } from "./json.ts";

/**
 * The members of a JSON object, each with its value as the text it was written in: what a gateway forwards without
 * rounding a number or losing a field it does not know. Linear in the text.
 *
 * @throws PortcullisError `upstream_protocol` for anything but one JSON object, or where it repeats a key.
 */
export function membersOf(text: string): Map<string, string> {
  return readObject(text).members;
}

/** The same with the object itself, as far as numbers go into a double. @throws as `membersOf` */
export function readObject(text: string): {
  readonly value: JsonObject;
  readonly members: Map<string, string>;
} {
  const value = objectIn(text);
  const members = new Map<string, string>();
  let at = skipSpace(text, text.indexOf("{") + 1);
  while (text[at] !== "}") {
    const keyEnd = endOfString(text, at);
    const key = keyIn(text.slice(at, keyEnd));
    if (members.has(key)) throw refused("an object repeats a key");
    // The byte after a key and its space is a colon, by the grammar.
    const start = skipSpace(text, skipSpace(text, keyEnd) + 1);
    const end = endOfValue(text, start);
    members.set(key, text.slice(start, end));
    at = skipSpace(text, end);
    if (text[at] === ",") at = skipSpace(text, at + 1);
  }
  return { value, members };
}

/** A quoted key: most hold no escape, and are what they say. */
function keyIn(quoted: string): string {
  return quoted.includes("\\") ? JSON.parse(quoted) : quoted.slice(1, -1);
}

/**
 * The elements of a JSON array, each as the text it was written in.
 *
 * @throws PortcullisError `upstream_protocol` for anything but one JSON array.
 */
export function elementsOf(text: string): string[] {
  if (!Array.isArray(parsed(text))) throw refused("it is not an array");
  const elements: string[] = [];
  let at = skipSpace(text, text.indexOf("[") + 1);
  while (text[at] !== "]") {
    const end = endOfValue(text, at);
    elements.push(text.slice(at, end));
    at = skipSpace(text, end);
    if (text[at] === ",") at = skipSpace(text, at + 1);
  }
  return elements;
}

/** A JSON value taken apart to the end, each scalar as the text it was written in. */
export type Written = string | readonly Written[] | Map<string, Written>;

/**
 * Linear in the text, however deep it nests: to take apart each level's text again would cost its size at every level.
 *
 * @throws PortcullisError `upstream_protocol` for anything but JSON, or where an object repeats a key.
 * @throws Error for what is nested deeper than `maxDepth`.
 */
export function writtenIn(text: string, maxDepth: number): Written {
  parsed(text);
  return new Reader(text, maxDepth).value(0);
}

class Reader {
  readonly #text: string;
  readonly #maxDepth: number;
  #at = 0;

  constructor(text: string, maxDepth: number) {
    this.#text = text;
    this.#maxDepth = maxDepth;
  }

  value(depth: number): Written {
    if (depth > this.#maxDepth) throw new Error(`it is nested deeper than ${this.#maxDepth}`);
    this.#at = skipSpace(this.#text, this.#at);
    const first = this.#text[this.#at];
    if (first === "{") return this.#object(depth);
    if (first === "[") return this.#array(depth);
    return this.#upTo(endOfValue(this.#text, this.#at));
  }

  #object(depth: number): Written {
    const members = new Map<string, Written>();
    while (this.#goesOn("}")) {
      const key = keyIn(this.#upTo(endOfString(this.#text, this.#at)));
      if (members.has(key)) throw refused("an object repeats a key");
      this.#at = skipSpace(this.#text, this.#at) + 1;
      members.set(key, this.value(depth + 1));
    }
    return members;
  }

  #array(depth: number): Written {
    const elements: Written[] = [];
    while (this.#goesOn("]")) elements.push(this.value(depth + 1));
    return elements;
  }

  /** Past an opening bracket or a comma to what follows it, or past the closing bracket. */
  #goesOn(closing: string): boolean {
    let at = skipSpace(this.#text, this.#at);
    if (this.#text[at] !== closing) at = skipSpace(this.#text, at + 1);
    const ends = this.#text[at] === closing;
    this.#at = ends ? at + 1 : at;
    return !ends;
  }

  #upTo(end: number): string {
    const text = this.#text.slice(this.#at, end);
    this.#at = end;
    return text;
  }
}

/** The object that `membersOf` took apart. Values must be JSON text. */
export function joinMembers(members: ReadonlyMap<string, string>): string {
  let text = "{";
  for (const [key, value] of members) {
    if (text.length > 1) text += ",";
    text += `${JSON.stringify(key)}:${value}`;
  }
  return `${text}}`;
}

function refused(reason: string, cause?: unknown): PortcullisError {
  return new PortcullisError("upstream_protocol", { reason, cause });
}

/** The grammar is the parser's to judge; what follows only finds boundaries in text that has it. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw refused("it is not JSON", cause);
  }
}

function objectIn(text: string): JsonObject {
  const value = parsed(text);
  if (!isJsonObject(value)) throw refused("it is not an object");
  return value;
}

function skipSpace(text: string, start: number): number {
  let at = start;
  while (isSpace(text.charCodeAt(at))) at++;
  return at;
}

function isSpace(unit: number): boolean {
  return unit === 0x20 || unit === 0x0a || unit === 0x0d || unit === 0x09;
}

/** Index after the closing quote of the string that opens at `start`. */
function endOfString(text: string, start: number): number {
  let at = start + 1;
  for (let unit = text.charCodeAt(at); unit !== 0x22 /* " */; unit = text.charCodeAt(at)) {
    at += unit === 0x5c /* \ */ ? 2 : 1;
  }
  return at + 1;
}

/** Index after the value that starts at `start`. Counts brackets instead of recursing: depth is the sender's. */
function endOfValue(text: string, start: number): number {
  let depth = 0;
  let at = start;
  do {
    const unit = text.charCodeAt(at);
    if (unit === 0x22 /* " */) {
      at = endOfString(text, at);
      continue;
    }
    if (unit === 0x7b || unit === 0x5b /* { [ */) depth++;
    else if (unit === 0x7d || unit === 0x5d /* } ] */) depth--;
    else if (depth === 0) return endOfScalar(text, at);
    at++;
  } while (depth > 0);
  return at;
}

function endOfScalar(text: string, start: number): number {
  let at = start;
  while (at < text.length) {
    const unit = text.charCodeAt(at);
    if (unit === 0x2c || unit === 0x7d || unit === 0x5d /* , } ] */ || isSpace(unit)) break;
    at++;
  }
  return at;
}
