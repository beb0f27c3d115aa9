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

/** What may stand after a backslash as well stands for what it escapes there. */
const NAMED: ReadonlyMap<number, string> = new Map([
  [0x08, "b"],
  [0x0a, "n"],
  [0x0c, "f"],
  [0x0d, "r"],
  [0x09, "t"],
]);
const BACKSLASH = 0x5c;
const LETTER_U = 0x75;

/** A text without any backslash and with a letter for each line's end, and where each of its characters stands in it. */
interface Plain {
  readonly plain: string;
  /** With the backslashes before it. */
  readonly starts: Uint32Array;
  readonly ends: Uint32Array;
}

/** In a string within a string a run of backslashes is longer, some of them may be spelt, the rest is the same. */
function unescaped(text: string): Plain {
  const units = new Uint16Array(text.length);
  const [starts, ends] = [new Uint32Array(text.length), new Uint32Array(text.length)];
  let length = 0;
  let start = 0;
  let isEscaped = false;
  for (let at = 0; at < text.length; ) {
    const unit = text.charCodeAt(at);
    const code = isEscaped && unit === LETTER_U ? hexAt(text, at + 1) : undefined;
    at += code === undefined ? 1 : 5;
    if ((code ?? unit) === BACKSLASH) {
      isEscaped = true;
      continue;
    }
    units[length] = code === undefined ? unit : (NAMED.get(code)?.charCodeAt(0) ?? code);
    starts[length] = start;
    ends[length] = at;
    length += 1;
    start = at;
    isEscaped = false;
  }
  const plain = Buffer.from(units.buffer, 0, 2 * length).toString("utf16le");
  return { plain, starts, ends };
}

/** Of four digits; undefined: they are not. */
function hexAt(text: string, at: number): number | undefined {
  const digits = text.slice(at, at + 4);
  return /^[\dA-Fa-f]{4}$/.test(digits) ? Number.parseInt(digits, 16) : undefined;
}

function withoutSpelt(text: string, secrets: readonly string[]): string {
  const { plain, starts, ends } = unescaped(text);
  const found = secrets.flatMap((secret) => occurrences(plain, secret)).sort((a, b) => a.from - b.from);
  const parts: string[] = [];
  let end = 0;
  for (const { from, to } of found) {
    const start = starts[from] ?? 0;
    // One may lie within another.
    if (start >= end) parts.push(text.slice(end, start), MARK);
    end = Math.max(end, ends[to - 1] ?? 0);
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
