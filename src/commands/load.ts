import { readdir, readFile } from "node:fs/promises";
import { relative, resolve } from "node:path";
import { type Config, loadConfig } from "../config/config.ts";
import type { ConfigProblem } from "../config/problems.ts";
import type { JsonObject } from "../lib/json.ts";
import { compileSchema } from "../policy/schema.ts";
import type { CommonOptions, Surroundings } from "./command.ts";

export type Loaded =
  | { readonly ok: true; readonly config: Config }
  | { readonly ok: false; readonly problems: readonly ConfigProblem[] };

/** Reads the configuration; with `secrets`, every secret that it refers to must be there. */
export function load(
  { config }: CommonOptions,
  { cwd, env }: Pick<Surroundings, "cwd" | "env">,
  { secrets }: { readonly secrets: boolean },
): Promise<Loaded> {
  return loadConfig(resolve(cwd, config), {
    readFile: (path) => readFile(path, "utf8"),
    readDir: (path) => readdir(path),
    validateRecord,
    ...(secrets && { env }),
  });
}

function validateRecord(schema: JsonObject, record: JsonObject) {
  const compiled = compileSchema(schema);
  if (!compiled.ok) return [{ path: [], message: `the tenant schema is invalid: ${compiled.fault}` }];
  const failure = compiled.schema.validate(record);
  if (failure === null) return [];
  const path = failure.pointer
    .split("/")
    .slice(1)
    .map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"));
  return [{ path, message: failure.message }];
}

/** The configuration, or null where its problems were printed. */
export async function loadOrTell(
  options: CommonOptions,
  around: Pick<Surroundings, "cwd" | "env" | "stderr">,
  secrets = false,
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
  return problems
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
}
