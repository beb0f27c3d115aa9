/** A text without the secrets that it knows. */
export type Cut = (text: string) => string;

/** Shorter ones would cut words that merely look alike. */
const SHORTEST = 8;
const MARK = "[withheld]";

/**
 * Cuts secrets out of JSON or plain text, however JSON encoders spell them (`\/`, `\u003d`), also in strings within
 * strings. Every text passes here, and hardly one holds a secret: most are only searched for the longest word of each.
 */
export function createCut(secrets: Iterable<string>, shortest = SHORTEST): Cut {
  const isLong = (text: string) => text.length >= shortest;
  const known = [...new Set([...secrets].flatMap(partsOf))].filter(isLong).sort(longestFirst);
  const words = [...new Set(known.map((one) => longestWord(one)))];
  const plain = known.flatMap(plainOf).filter(isLong);

  return (text) => {
    if (!words.some((word) => text.includes(word)) && !(text.includes("\\") && ESCAPED_WORD.test(text)))
      return text;
    const meant = text.includes("\\") ? withoutSpelt(text, plain) : text;
    return known.reduce((rest, one) => rest.replaceAll(one, MARK), meant);
  };
}

/** A secret as it may stand in a text: whole, or line by line, such as a key in PEM; its first and last line say nothing. */
function partsOf(secret: string): readonly string[] {
  const lines = secret.split(/\r?\n/);
  const telling = lines.filter((line) => line.length >= SHORTEST && !/^-----.*-----$/.test(line));
  return lines.length === 1 ? lines : [secret, ...telling];
}

/**
 * A secret without its backslashes. Of one before `u` and four digits nobody can tell from a text whether it escapes them:
 * there are two readings, since that `u` may be spelt so that it is a letter.
 */
function plainOf(secret: string): readonly string[] {
  const written = JSON.stringify(secret).slice(1, -1);
  const asLetter = written.replace(/(?<!\\)((?:\\\\)+)u/g, "$1\\u0075");
  return [...new Set([written, asLetter].map((one) => unescaped(one).plain))];
}

function longestFirst(a: string, b: string): number {
  return b.length - a.length;
}

/** Letters and digits are written as they are by every encoder that has no reason not to. */
function longestWord(secret: string): string {
  return (secret.match(/[A-Za-z0-9]+/g) ?? [""]).sort(longestFirst)[0] ?? "";
}

const ESCAPED_WORD = /\\u00(?:3\d|[4-7])/;

/**
 * A run of backslashes, and the code that it escapes. In a string within a string the run is longer, the rest the same.
 * Where some of them are spelt it comes in several matches: a repetition within a repetition, for which V8 keeps a place
 * to go back to for each, throws at a million of them.
 */
const ESCAPE = /\\+(?:u005[cC])*(?:u([\dA-Fa-f]{4}))?/g;
/** What may stand after a backslash as well stands for what it escapes there. */
const NAMED: Readonly<Record<string, string>> = {
  "\b": "b",
  "\f": "f",
  "\n": "n",
  "\r": "r",
  "\t": "t",
  "\\": "",
};

/** A place where the text says something else than it means. */
interface Escape {
  /** In the plain text. */
  readonly at: number;
  /** Characters of the plain text: none for backslashes alone. */
  readonly length: number;
  readonly start: number;
  readonly end: number;
}

/** The text without any backslash and with a letter for each line's end, and where that stands in it. */
function unescaped(text: string): { readonly plain: string; readonly escapes: readonly Escape[] } {
  const escapes: Escape[] = [];
  const parts: string[] = [];
  let [end, at] = [0, 0];
  for (const { index, 0: whole, 1: code } of text.matchAll(ESCAPE)) {
    const char = code === undefined ? "" : String.fromCharCode(Number.parseInt(code, 16));
    const meant = NAMED[char] ?? char;
    parts.push(text.slice(end, index), meant);
    at += index - end;
    // The run goes on.
    const before = escapes.at(-1);
    const isOne = before?.end === index && before.length === 0;
    const start = isOne ? before.start : index;
    if (isOne) escapes.pop();
    end = index + whole.length;
    escapes.push({ at, length: meant.length, start, end });
    at += meant.length;
  }
  return { plain: [...parts, text.slice(end)].join(""), escapes };
}

function withoutSpelt(text: string, secrets: readonly string[]): string {
  const { plain, escapes } = unescaped(text);
  const found = secrets.flatMap((secret) => occurrences(plain, secret)).sort((a, b) => a.from - b.from);
  const parts: string[] = [];
  let end = 0;
  for (const { from, to } of found) {
    const start = placeOf(from, escapes).start;
    // One may lie within another.
    if (start >= end) parts.push(text.slice(end, start), MARK);
    end = Math.max(end, placeOf(to - 1, escapes).end);
  }
  return [...parts, text.slice(end)].join("");
}

interface Range {
  readonly from: number;
  readonly to: number;
}

function occurrences(text: string, secret: string): Range[] {
  const found: Range[] = [];
  for (let from = text.indexOf(secret); from !== -1; from = text.indexOf(secret, from + secret.length))
    found.push({ from, to: from + secret.length });
  return found;
}

/** Where a character of the plain text stands, with the backslashes before it. */
function placeOf(at: number, escapes: readonly Escape[]): Pick<Escape, "start" | "end"> {
  let [low, high] = [0, escapes.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((escapes[middle]?.at ?? 0) <= at) low = middle + 1;
    else high = middle;
  }
  const last = escapes[low - 1] ?? { at: 0, length: 0, start: 0, end: 0 };
  if (at < last.at + last.length) return last;
  const place = last.end + at - last.at - last.length;
  return { start: place === last.end && last.length === 0 ? last.start : place, end: place + 1 };
}
