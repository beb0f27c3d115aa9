import { relative, resolve } from "node:path";
import { load } from "../compose/load.ts";
import type { Config } from "../config/config.ts";
import type { CommonOptions, Surroundings } from "./command.ts";
import { printableLines } from "./print.ts";

/** The configuration, or null where its problems were printed. `secrets`: as for `load`. */
export async function loadOrTell(
  options: CommonOptions,
  around: Pick<Surroundings, "cwd" | "env" | "stderr">,
  { secrets }: { readonly secrets: boolean } = { secrets: false },
): Promise<Config | null> {
  const loaded = await load(options, around, { secrets });
  if (loaded.ok) return loaded.config;
  around.stderr.write(problemLines(loaded.problems, around.cwd));
  return null;
}

/** A finding as compilers write it: `file:row:col: code: message`, and what to do about it below. */
export interface Printable {
  readonly code: string;
  readonly message: string;
  readonly file: string;
  readonly row: number;
  readonly col: number;
  readonly hint?: string;
  readonly severity?: "error" | "warning";
}

export function problemLines(problems: readonly Printable[], cwd: string): string {
  const lines = problems
    .map(({ file, row, col, code, message, hint, severity }) => {
      const place = [
        file === "" ? "" : relative(cwd, resolve(cwd, file)),
        ...(row > 0 ? [row] : []),
        ...(row > 0 && col > 0 ? [col] : []),
      ].join(":");
      const head = `${place === "" ? "" : `${place}: `}${severity === "warning" ? "warning: " : ""}${code}: ${message}\n`;
      return hint ? `${head}    ${hint.replaceAll("\n", "\n    ")}\n` : head;
    })
    .join("");
  // They quote files, and name them, whose author may not be who reads this.
  return printableLines(lines);
}
