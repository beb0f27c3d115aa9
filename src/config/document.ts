import {
  type Document,
  isAlias,
  isMap,
  isPair,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseDocument,
  visit,
  type YAMLError,
} from "yaml";
import type { ConfigProblem, Finding, Path, ProblemCode } from "./problems.ts";

/** Above this, reading stops: a configuration is written by people. */
const MAX_LENGTH = 8 * 1024 * 1024;
const MAX_DEPTH = 32;
const MAX_ALIASES = 100;

/** A YAML (or JSON) file that knows where each of its values stands. */
export interface SourceDocument {
  /** Plain JSON values; undefined when the text could not be understood at all. */
  readonly value: unknown;
  /** Syntax, duplicate keys, aliases beyond bounds. */
  readonly problems: readonly ConfigProblem[];
  /** Says where in the file a finding stands. */
  locate(finding: Finding): ConfigProblem;
}

/** Reads one YAML 1.2 document. Never throws; anchors expand to at most 100 aliases. */
export function readDocument(text: string, file: string): SourceDocument {
  const lines = new LineCounter();
  const positionOf = (offset: number): { row: number; col: number } => {
    const { line, col } = lines.linePos(offset);
    return { row: line, col };
  };
  const problem = (code: ProblemCode, message: string, offset: number, hint = ""): ConfigProblem => ({
    code,
    message,
    file,
    ...(offset < 0 ? { row: 0, col: 0 } : positionOf(offset)),
    hint,
  });
  const failed = (problems: readonly ConfigProblem[]): SourceDocument => ({
    value: undefined,
    problems,
    locate: ({ code, message, hint }) => problem(code, message, -1, hint),
  });

  if (text.length > MAX_LENGTH) return failed([problem("yaml_invalid", "the file is larger than 8 MiB", -1)]);
  if (tooDeep(text)) return failed([problem("yaml_invalid", `nested deeper than ${MAX_DEPTH}`, -1)]);
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, stringKeys: true });
  const problems = [...document.errors, ...document.warnings].map((error) =>
    problem(
      error.code === "DUPLICATE_KEY" ? "duplicate_key" : "yaml_invalid",
      messageOf(error),
      error.pos[0],
    ),
  );
  for (const { message, offset } of oddities(document))
    problems.push(problem("invalid_value", message, offset));
  // Past a syntax error the rest is guesswork; a duplicate key leaves everything else readable.
  if (problems.some(({ code }) => code === "yaml_invalid")) return failed(problems);
  try {
    const value: unknown = document.toJS({ maxAliasCount: MAX_ALIASES });
    const locate = ({ code, path, key, message, hint }: Finding): ConfigProblem =>
      problem(code, message, offsetOf(document, path, key ?? false), hint);
    return { value, problems, locate };
  } catch {
    return failed([...problems, problem("yaml_invalid", `more than ${MAX_ALIASES} aliases`, 0)]);
  }
}

function messageOf({ code, message }: YAMLError): string {
  if (code === "DUPLICATE_KEY") return "this key stands twice";
  if (code === "MULTIPLE_DOCS") return "a second document begins here, and one is read";
  return message.charAt(0).toLowerCase() + message.slice(1);
}

/** Counted before the parser sees them, since it recurses: brackets, and what opens nested blocks in one line. */
function tooDeep(text: string): boolean {
  if (/^[ \t?:-]{256}/m.test(text)) return true;
  let depth = 0;
  for (const character of text) {
    if (character === "[" || character === "{") depth += 1;
    else if (character === "]" || character === "}") depth = Math.max(0, depth - 1);
    if (depth > MAX_DEPTH) return true;
  }
  return false;
}

/** A `__proto__` key, which readers skip silently; numbers that do not survive JSON. */
function oddities(document: Document): { message: string; offset: number }[] {
  const found: { message: string; offset: number }[] = [];
  visit(document, {
    Scalar: (position, { value, range }) => {
      const offset = range?.[0] ?? 0;
      if (position === "key" && value === "__proto__")
        found.push({ message: '"__proto__" cannot be a key', offset });
      if (
        typeof value !== "number" ||
        (Number.isFinite(value) && (!Number.isInteger(value) || Number.isSafeInteger(value)))
      )
        return;
      found.push({ message: "this number cannot be kept exactly: quote it", offset });
    },
  });
  return found;
}

/** Where the value (or key) at `path` starts; the nearest ancestor for what is not there. */
function offsetOf(document: Document, path: Path, key: boolean): number {
  let node: unknown = document.contents;
  let offset = startOf(node) ?? 0;
  for (const [index, step] of path.entries()) {
    if (isAlias(node)) node = node.resolve(document);
    const isLast = index === path.length - 1;
    if (isMap(node)) {
      const pair = node.items.find((item) => isPair(item) && isScalar(item.key) && item.key.value === step);
      if (pair === undefined) return offset;
      const keyOffset = startOf(pair.key) ?? offset;
      node = pair.value;
      offset = isLast && !key ? (startOf(node) ?? keyOffset) : keyOffset;
    } else if (isSeq(node) && typeof step === "number") {
      node = node.items[step];
      offset = startOf(node) ?? offset;
    } else return offset;
  }
  return offset;
}

function startOf(node: unknown): number | undefined {
  return (node as Node | null | undefined)?.range?.[0];
}
