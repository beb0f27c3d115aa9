import { PortcullisError } from "./errors.ts";
import { endOfString, endOfValue, notJson, skipSpace, startOfMemberValue } from "./json-text.ts";

/** Parts of what is taken apart. What is only passed on may have any number. */
const [MAX_MEMBERS, MAX_ELEMENTS] = [10_000, 100_000];

/**
 * The members of a JSON object, each with its value as the text it was written in: what a gateway forwards without
 * rounding a number or losing a field it does not know. Linear in the text.
 *
 * @throws PortcullisError `upstream_protocol` for anything but one JSON object, or where it repeats a key.
 */
export function membersOf(text: string): Map<string, string> {
  return readMembers(text, (_, start) => endOfValue(text, start));
}

/** The same, and of the object that is one of them a member of its own; both are found in one reading. */
export function membersAnd(
  text: string,
  [outer, inner]: readonly [string, string],
): { readonly members: Map<string, string>; readonly found: string | undefined } {
  let found: string | undefined;
  const members = readMembers(text, (key, start) => {
    if (key !== outer || text[start] !== "{") return endOfValue(text, start);
    return eachMember(text, start, (name, at) => {
      const end = endOfValue(text, at);
      if (name === inner) found = text.slice(at, end);
      return end;
    });
  });
  return { members, found };
}

/**
 * One of the members; of those with one key the last, as parsers have it.
 *
 * @throws PortcullisError `upstream_protocol` for anything but one JSON object.
 */
export function memberOf(text: string, name: string): string | undefined {
  let found: string | undefined;
  const end = eachMember(text, skipSpace(text, 0), (key, start) => {
    const end = endOfValue(text, start);
    if (key === name) found = text.slice(start, end);
    return end;
  });
  requireEnd(text, end);
  return found;
}

/** `endOf` reads a member's value and says where it ends. */
function readMembers(text: string, endOf: (key: string, start: number) => number): Map<string, string> {
  const members = new Map<string, string>();
  const end = eachMember(text, skipSpace(text, 0), (key, start) => {
    if (members.has(key)) throw repeatsKey();
    if (members.size === MAX_MEMBERS) throw refused(`an object has more than ${MAX_MEMBERS} members`);
    const end = endOf(key, start);
    members.set(key, text.slice(start, end));
    return end;
  });
  requireEnd(text, end);
  return members;
}

/** Index after the object that starts at `start`. */
function eachMember(text: string, start: number, visit: (key: string, start: number) => number): number {
  return eachPart(text, start, ["{", "}"], (at) => {
    const keyEnd = endOfString(text, at);
    return visit(keyIn(text.slice(at, keyEnd)), startOfMemberValue(text, keyEnd));
  });
}

/**
 * The elements of a JSON array, each as the text it was written in.
 *
 * @throws PortcullisError `upstream_protocol` for anything but one JSON array.
 */
export function elementsOf(text: string): string[] {
  const elements: string[] = [];
  const end = eachPart(text, skipSpace(text, 0), ["[", "]"], (at) => {
    const end = endOfValue(text, at);
    if (elements.length === MAX_ELEMENTS) throw refused(`an array has more than ${MAX_ELEMENTS} elements`);
    elements.push(text.slice(at, end));
    return end;
  });
  requireEnd(text, end);
  return elements;
}

type Brackets = readonly ["{", "}"] | readonly ["[", "]"];

/** Index after the object or array that starts at `start`. `visit` reads one part of it, and says where that ends. */
function eachPart(
  text: string,
  start: number,
  [opening, closing]: Brackets,
  visit: (start: number) => number,
): number {
  if (text[start] !== opening) throw refused(`it is not an ${opening === "{" ? "object" : "array"}`);
  let at = skipSpace(text, start + 1);
  if (text[at] !== closing) {
    at = skipSpace(text, visit(at));
    while (text[at] === ",") at = skipSpace(text, visit(skipSpace(text, at + 1)));
    if (text[at] !== closing) throw notJson();
  }
  return at + 1;
}

function requireEnd(text: string, end: number): void {
  if (skipSpace(text, end) < text.length) throw notJson();
}

/** A quoted key: most hold no escape, and are what they say. */
function keyIn(quoted: string): string {
  return quoted.includes("\\") ? JSON.parse(quoted) : quoted.slice(1, -1);
}

/** What a member says, unless it is an object or array: those may be as large as their sender likes. */
export function scalarIn(text: string | undefined): string | number | boolean | null | undefined {
  return text === undefined || text.startsWith("{") || text.startsWith("[") ? undefined : JSON.parse(text);
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
  requireEnd(text, endOfValue(text, skipSpace(text, 0)));
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
      if (members.has(key)) throw repeatsKey();
      this.#at = startOfMemberValue(this.#text, this.#at);
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

function refused(reason: string): PortcullisError {
  return new PortcullisError("upstream_protocol", { reason });
}

function repeatsKey(): PortcullisError {
  return refused("an object repeats a key");
}
