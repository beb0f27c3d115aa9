import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { readDocument } from "../config/document.ts";
import type { ConfigProblem } from "../config/problems.ts";
import { isJsonObject } from "../lib/json.ts";
import { compileSchema } from "../policy/schema.ts";
import { caseSchema, type GoldenCase } from "./case.ts";

export interface GoldenFile {
  readonly file: string;
  readonly golden: GoldenCase;
}

export interface GoldenFiles {
  readonly cases: readonly GoldenFile[];
  readonly problems: readonly (Omit<ConfigProblem, "code"> & { readonly code: string })[];
}

/** Every `*.yaml` of a folder; what is no case is a problem at its place. Rejects when the folder cannot be read. */
export async function readCases(folder: string): Promise<GoldenFiles> {
  const names = (await readdir(folder)).filter((name) => name.endsWith(".yaml")).sort();
  const read = await Promise.all(names.map((name) => readCase(join(folder, name))));
  return {
    cases: read.flatMap(({ cases }) => cases),
    problems: read.flatMap(({ problems }) => problems),
  };
}

const compiled = compileSchema(caseSchema());

async function readCase(file: string): Promise<GoldenFiles> {
  const { value, problems, locate } = readDocument(await readFile(file, "utf8"), file);
  if (problems.length > 0) return { cases: [], problems };
  const wrong = (path: readonly (string | number)[], message: string): GoldenFiles => {
    const found = locate({ code: "invalid_value", path, message });
    return { cases: [], problems: [{ ...found, code: "case_invalid" }] };
  };
  if (!compiled.ok) throw new Error(compiled.fault);
  if (!isJsonObject(value)) return wrong([], "a case is a mapping");
  const failure = compiled.schema.validate(value);
  if (failure !== null) return wrong(failure.pointer.split("/").slice(1), failure.message);
  return { cases: [{ file, golden: value as unknown as GoldenCase }], problems: [] };
}
