import { isUtf8 } from "node:buffer";
import { readdir, readFile, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { PortcullisError } from "../lib/errors.ts";
import { isJsonObject, type Json, type JsonObject } from "../lib/json.ts";
import { parseStrict } from "../lib/strict-json.ts";
import { problem } from "./problem.ts";
import type { Problem } from "./toolchain-types.ts";

/** Files and directories together: links are followed, so this is also what ends a circle. */
const MAX_ENTRIES = 5000;
const MAX_BYTES = 16 * 1024 * 1024;
const DATA_DEPTH = 64;

/** What a directory of policies holds. */
export interface PolicyFiles {
  /** Path below the directory -> Rego source. */
  readonly files: Readonly<Record<string, string>>;
  /** Every `data.json`, each at the place that its directory names, as in an OPA bundle. */
  readonly data: JsonObject;
}

export type Read =
  | { readonly ok: true; readonly sources: PolicyFiles }
  | { readonly ok: false; readonly problems: readonly Problem[] };

/** Every directory to watch for changes: the root and all below it. @throws when one cannot be read */
export async function policyDirectories(root: string): Promise<readonly string[]> {
  return (await walk(root)).directories.map((path) => join(root, path));
}

/** All that decides below a directory, itself included: whoever may write to one of them decides as well. Never rejects. */
export async function policyPaths(root: string): Promise<readonly string[]> {
  const { directories, files } = await walk(root).catch(() => ({ directories: [""], files: [] }));
  return [...directories, ...files].map((path) => join(root, path));
}

/** Reads `*.rego` and `data.json` below a directory; hidden names and other files are passed over. Never rejects. */
export async function readPolicyFiles(root: string): Promise<Read> {
  let reading = "";
  try {
    const files: Record<string, string> = {};
    let data: JsonObject = {};
    let bytes = 0;
    for (const path of (await walk(root)).files) {
      reading = path;
      const content = await readFile(join(root, path));
      bytes += content.byteLength;
      if (bytes > MAX_BYTES) throw new Error(`more than ${MAX_BYTES} bytes of policies and data`);
      if (path.endsWith(".rego")) files[path] = textOf(content);
      else data = merge(data, nested(dirname(path), documentOf(content)), "data");
    }
    return { ok: true, sources: { files, data } };
  } catch (thrown) {
    const message = thrown instanceof PortcullisError ? thrown.reason : String((thrown as Error).message);
    const place = thrown instanceof PortcullisError ? await placeOfFault(join(root, reading)) : {};
    return { ok: false, problems: [{ ...problem("policies_unreadable", message, reading), ...place }] };
  }
}

/** Paths below the root. A link that leads nowhere is an error: what it should have denied would be missing. */
async function walk(root: string): Promise<{ files: readonly string[]; directories: readonly string[] }> {
  const files: string[] = [];
  const directories = [""];
  for (const below of directories) {
    for (const name of (await readdir(join(root, below))).filter((name) => !name.startsWith(".")).sort()) {
      const path = below === "" ? name : `${below}/${name}`;
      if ((await stat(join(root, path))).isDirectory()) directories.push(path);
      else if (path.endsWith(".rego") || basename(path) === "data.json") files.push(path);
    }
    if (files.length + directories.length > MAX_ENTRIES) throw new Error(`more than ${MAX_ENTRIES} files`);
  }
  return { files, directories };
}

/** What is no UTF-8 would be compared as another text than its author sees, and a denial would miss. */
function textOf(content: Buffer): string {
  if (!isUtf8(content)) throw new Error("it is not UTF-8");
  return content.toString("utf8");
}

function documentOf(content: Uint8Array): JsonObject {
  const document = parseStrict(content, { maxDepth: DATA_DEPTH });
  if (!isJsonObject(document)) throw new Error("data must be an object");
  return document;
}

/** Where the parser stopped, as far as it says. */
async function placeOfFault(path: string): Promise<Partial<Pick<Problem, "row" | "col">>> {
  const text = await readFile(path, "utf8").catch(() => "");
  try {
    JSON.parse(text);
  } catch (thrown) {
    const said = /at position (\d+)/.exec((thrown as Error).message);
    if (said === null) return {};
    const before = text.slice(0, Number(said[1])).split("\n");
    return { row: before.length, col: (before.at(-1)?.length ?? 0) + 1 };
  }
  return {};
}

function nested(directory: string, document: JsonObject): JsonObject {
  const steps = directory === "." ? [] : directory.split("/");
  return steps.reduceRight((inner, step) => ({ [step]: inner }), document);
}

function merge(a: JsonObject, b: JsonObject, at: string): JsonObject {
  const shared = Object.keys(b).filter((key) => Object.hasOwn(a, key));
  const both = shared.map(
    (key) => [key, mergeMember(a[key] as Json, b[key] as Json, `${at}.${key}`)] as const,
  );
  return { ...a, ...b, ...Object.fromEntries(both) };
}

function mergeMember(a: Json, b: Json, at: string): Json {
  if (isJsonObject(a) && isJsonObject(b)) return merge(a, b, at);
  throw new Error(`${at} stands in another data.json already`);
}
