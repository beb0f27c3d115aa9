import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";

export const ROOT = resolve(import.meta.dirname, "../..");

/** A fenced block: what stands behind the fence, split at spaces, and the lines within. */
export interface Block {
  readonly info: readonly string[];
  readonly text: string;
}

/** A page of `docs/`, as its tests read it. */
export interface Page {
  readonly text: string;
  /** The blocks whose info begins with these words. */
  blocks(...info: readonly string[]): readonly Block[];
  /** The rows of the table with this header, each cell as written; a table that is not there throws. */
  table(...header: readonly string[]): readonly (readonly string[])[];
}

export function readPage(name: string): Page {
  const text = readFileSync(join(ROOT, "docs", name), "utf8");
  const found = [...text.matchAll(/^```(.+)\n([\s\S]*?)^```$/gm)].map(([, info = "", body = ""]) => ({
    info: info.split(" "),
    text: body,
  }));
  return {
    text,
    blocks: (...info) => found.filter((block) => info.every((word, at) => block.info[at] === word)),
    table(...header) {
      const lines = text.split("\n");
      const start = lines.indexOf(`| ${header.join(" | ")} |`);
      if (start < 0) throw new Error(`${name} has no table ${header.join(", ")}`);
      const rows = lines.slice(start + 2);
      const end = rows.findIndex((line) => !line.startsWith("|"));
      return rows.slice(0, end < 0 ? rows.length : end).map(cellsOf);
    },
  };
}

function cellsOf(line: string): string[] {
  return line
    .slice(1, -1)
    .split("|")
    .map((cell) => cell.trim());
}

/** What stands between backticks in a cell. */
export function codes(cell = ""): readonly string[] {
  return Array.from(cell.matchAll(/`([^`]+)`/g), ([, code = ""]) => code);
}
