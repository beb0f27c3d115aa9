import { RE2JS } from "re2js";
import { messageOf } from "../lib/errors.ts";
import { spend } from "./steps.ts";

/** Compiling costs ~0.1 ms and policies repeat their patterns. */
const MEMO = 500;
const MAX_LENGTH = 2000;
/** Counts are compiled by copying what they count: `a{1000}` 285 times took 1.6 s. In characters, about. */
const MAX_EXPANDED = 50_000;
/** Matching costs up to 12 ns for each character and instruction, and most often far less. */
const INSTRUCTIONS_PER_STEP = 8;

/** An RE2 pattern of a bound. It matches the whole string, in time linear in its length. */
export interface Pattern {
  readonly source: string;
  matches(text: string): boolean;
}

/** A pattern of an upstream's schema: found anywhere in the string. Of the form that ajv wants. */
export interface UpstreamPattern {
  test(text: string): boolean;
  toString(): string;
}

const memo = new Map<string, Pattern | null>();

/** A bound's pattern in RE2 syntax; null where RE2 cannot compile it (lookaround, backreferences, counts over 1000). */
export function compilePattern(source: string): Pattern | null {
  const known = memo.get(source);
  if (known !== undefined) return known;
  const engine = compile(source, source);
  const pattern = engine && { source, matches: counted(engine, (text) => engine.testExact(text)) };
  if (memo.size >= MEMO) memo.delete(memo.keys().next().value ?? "");
  memo.set(source, pattern);
  return pattern;
}

/** A pattern that was written for ECMAScript, run by RE2; null as above. */
export function compileUpstreamPattern(source: string): UpstreamPattern | null {
  const engine = source.length > MAX_LENGTH ? null : compile(source, RE2JS.translateRegExp(source));
  return engine && { test: counted(engine, (text) => engine.test(text)), toString: () => source };
}

function counted(engine: RE2JS, matches: (text: string) => boolean): (text: string) => boolean {
  const perCharacter = Math.ceil(engine.programSize() / INSTRUCTIONS_PER_STEP);
  return (text) => {
    spend(text.length * perCharacter);
    return matches(text);
  };
}

/** Why a bound's pattern cannot be compiled; null: it can. */
export function patternFault(source: string): string | null {
  if (isTooLarge(source)) {
    const cost = patternCost(source);
    return `the pattern is too large: ${cost} characters with its counts written out, of at most ${MAX_EXPANDED}; ${MAX_LENGTH} as it stands`;
  }
  try {
    return RE2JS.compile(source) && null;
  } catch (thrown) {
    return messageOf(thrown);
  }
}

function isTooLarge(source: string): boolean {
  return source.length > MAX_LENGTH || patternCost(source) > MAX_EXPANDED;
}

function compile(source: string, translated: string): RE2JS | null {
  if (isTooLarge(source)) return null;
  try {
    return RE2JS.compile(translated);
  } catch {
    return null;
  }
}

/** About how many characters a pattern has when its counts are written out. */
export function patternCost(source: string): number {
  let longest = 1;
  let nested = 1;
  for (const [text, from = "0", to = ""] of source.matchAll(/\)?\{(\d+)(?:,(\d*))?\}/g)) {
    const times = Math.max(1, Number(from), Number(to));
    if (text.startsWith(")")) nested *= times;
    else longest = Math.max(longest, times);
  }
  return source.length * Math.min(1000, longest * nested);
}

/** For ajv's `code.regExp`. Patterns that do not compile were taken out before. */
export function regExpEngine(find: (source: string) => UpstreamPattern | null) {
  const engine = (source: string): UpstreamPattern => {
    const found = find(source);
    if (found === null) throw new TypeError(`not an RE2 pattern: ${source}`);
    return found;
  };
  return Object.assign(engine, { code: "re2" });
}

/** Tokens that mean the same in RE2 and ECMAScript, and those that can be rewritten. Anything else: words instead. */
const OUTSIDE: readonly (readonly [RegExp, string])[] = [
  [/\\[dDwWbBtnrfv]|\\[\^$\\.*+?()[\]{}|/]|\\x[\da-fA-F]{2}/uy, "$&"],
  [/\(\?:|\((?!\?)|[)|^$*+?]|\{\d+(?:,\d*)?\}|[^\\[\](){}.*+?^$|]/uy, "$&"],
  [/\\([!"#%&',\-:;<=>@`~])/uy, "$1"],
  [/\\s/uy, "[\\t\\n\\f\\r ]"],
  [/\\S/uy, "[^\\t\\n\\f\\r ]"],
  [/\./uy, "[^\\n]"],
];
const INSIDE: readonly (readonly [RegExp, string])[] = [
  [/\\[dDwWtnrfv]|\\[\^$\\.*+?()[\]{}|/-]|\\x[\da-fA-F]{2}|[^\\[\]]/uy, "$&"],
  [/\\([!"#%&',:;<=>@`~])/uy, "$1"],
  [/\\s/uy, "\\t\\n\\f\\r "],
  [/\[(?!:)/uy, "\\["],
];
/** `]` first in a class is itself to RE2, and the end of an empty class to ECMAScript: such a class is not said. */
const CLASS_OPENS = /\[(?:\^(?!\])|(?![\^\]]))/uy;
const CLASS_CLOSES = /\]/uy;

/** The same whole-string pattern for JSON Schema readers, which use ECMAScript; null where it cannot be said. */
export function toEcmaPattern(source: string): string | null {
  let out = "";
  let inClass = false;
  for (let at = 0; at < source.length; ) {
    const border = matchAt(inClass ? CLASS_CLOSES : CLASS_OPENS, source, at);
    const token = border === null ? translate(inClass ? INSIDE : OUTSIDE, source, at) : [border, border];
    if (token === null) return null;
    if (border !== null) inClass = !inClass;
    out += token[1];
    at += token[0]?.length ?? 0;
  }
  const whole = `^(?:${out})$`;
  return isEcma(whole) ? whole : null;
}

function translate(table: readonly (readonly [RegExp, string])[], source: string, at: number) {
  for (const [token, replacement] of table) {
    const text = matchAt(token, source, at);
    if (text !== null) return [text, text.replace(token, replacement)];
  }
  return null;
}

function matchAt(token: RegExp, source: string, at: number): string | null {
  token.lastIndex = at;
  const text = token.exec(source)?.[0] ?? null;
  token.lastIndex = 0;
  return text;
}

function isEcma(pattern: string): boolean {
  try {
    return new RegExp(pattern, "u") !== null;
  } catch {
    return false;
  }
}
