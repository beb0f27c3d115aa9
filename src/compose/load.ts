import { readdir, readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { type ConfigResult, loadConfig } from "../config/config.ts";
import { didYouMean } from "../config/problems.ts";
import type { JsonObject } from "../lib/json.ts";
import { compileSchema } from "../policy/schema.ts";

/** Reads the configuration; with `secrets`, every secret that it refers to must be there. */
export function load(
  { config }: { readonly config: string },
  { cwd, env }: { readonly cwd: string; readonly env: Readonly<Record<string, string | undefined>> },
  { secrets }: { readonly secrets: boolean },
): Promise<ConfigResult> {
  return loadConfig(resolve(cwd, config), {
    readFile: (path) => readFile(path, "utf8"),
    readDir: (path) => readdir(path),
    validateRecord,
    ...(secrets && { env }),
  });
}

/** The keywords by which a schema refuses a member. */
const REST = ["additionalProperties", "unevaluatedProperties"];

function validateRecord(schema: JsonObject, record: JsonObject) {
  const compiled = compileSchema(schema);
  if (!compiled.ok) return [{ path: [], message: `the tenant schema is invalid: ${compiled.fault}` }];
  const failure = compiled.schema.validate(record);
  if (failure === null) return [];
  const path = failure.pointer
    .split("/")
    .slice(1)
    .map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"));
  const name = path.join(".");
  if (!REST.includes(failure.keyword)) return [{ path, message: `${name} ${failure.message}`.trimStart() }];
  const around = path.slice(0, -1).reduce((outer, part) => outer.member(part), compiled.schema.outline);
  const hint = didYouMean(path.at(-1) ?? "", around.names);
  return [{ path, key: true, message: `the tenant schema has no ${name}`, hint }];
}
