/** One thing that is wrong with a configuration, where it stands, and what to write instead. */
export interface ConfigProblem {
  readonly code: ProblemCode;
  readonly message: string;
  readonly file: string;
  /** 1-based; 0 where the whole file is meant. */
  readonly row: number;
  readonly col: number;
  /** What to write instead, or "". */
  readonly hint: string;
}

export type ProblemCode =
  | "file_unreadable"
  | "yaml_invalid"
  | "duplicate_key"
  | "unknown_key"
  | "missing_key"
  | "wrong_type"
  | "invalid_value"
  | "unknown_reference"
  | "conflict"
  | "insecure"
  | "secret_literal"
  | "secret_missing"
  | "record_invalid";

/** Keys and indexes from the root of a document. */
export type Path = readonly (string | number)[];

/** A problem before it is known where in the file its path stands. */
export interface Finding {
  readonly code: ProblemCode;
  readonly path: Path;
  /** Point at the key rather than at its value. */
  readonly key?: boolean;
  readonly message: string;
  readonly hint?: string;
}

/** As they stand in the files, each once. */
export function inOrder(problems: readonly ConfigProblem[]): readonly ConfigProblem[] {
  const seen = new Set<string>();
  return [...problems]
    .sort((a, b) => a.file.localeCompare(b.file) || a.row - b.row || a.col - b.col)
    .filter(({ file, row, col, code, message }) => {
      const id = JSON.stringify([file, row, col, code, message]);
      return !seen.has(id) && seen.add(id);
    });
}

/** `did you mean "labels"?`, or "" where nothing known is near. */
export function didYouMean(word: string, known: Iterable<string>): string {
  let best = "";
  let least = Math.floor(Math.max(word.length, 3) / 3) + 1;
  for (const candidate of known) {
    const distance = editDistance(word, candidate);
    if (distance < least) [best, least] = [candidate, distance];
  }
  return best === "" ? "" : `did you mean "${best}"?`;
}

/** Insertions, deletions, substitutions and swaps of neighbours (optimal string alignment). */
function editDistance(a: string, b: string): number {
  let older: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const substitution = (previous[column - 1] ?? 0) + (a[row - 1] === b[column - 1] ? 0 : 1);
      const insertion = (current[column - 1] ?? 0) + 1;
      const deletion = (previous[column] ?? 0) + 1;
      const swapped = row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1];
      const swap = swapped ? (older[column - 2] ?? 0) + 1 : Number.POSITIVE_INFINITY;
      current.push(Math.min(substitution, insertion, deletion, swap));
    }
    [older, previous] = [previous, current];
  }
  return previous[b.length] ?? 0;
}
