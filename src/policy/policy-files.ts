import { isUtf8 } from "node:buffer";
import { constants, type Dirent } from "node:fs";
import { type FileHandle, open, opendir, realpath, stat } from "node:fs/promises";
import { dirname, join, sep } from "node:path";
import type { Layer } from "../domain.ts";
import { PortcullisError, whyUnread } from "../lib/errors.ts";
import { gather } from "../lib/gathered.ts";
import { isJsonObject, type Json, type JsonObject } from "../lib/json.ts";
import { parseStrict } from "../lib/strict-json.ts";
import { problem } from "./problem.ts";
import type { Problem } from "./toolchain-types.ts";

/** Names of all kinds: links are followed, so this is also what ends a circle. */
const MAX_ENTRIES = 5000;
/** Each is watched, and the system has only so many watches for all layers. */
const MAX_DIRECTORIES = 500;
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
  | {
      readonly ok: false;
      readonly problems: readonly Problem[];
      /** It may be mended by what is no change of the folder: a link's target that comes, a mode. */
      readonly again: boolean;
    };

/** Every directory to watch for changes: the root and all below it, as far as they can be read. Never rejects. */
export async function policyDirectories(root: string): Promise<readonly string[]> {
  return (await walk(root)).directories.map((path) => join(root, path));
}

/** All that decides below a directory, itself included: whoever may write to one of them decides as well. Never rejects. */
export async function policyPaths(root: string): Promise<readonly string[]> {
  const { directories, files } = await walk(root);
  return [...new Set(["", ...directories, ...files])].map((path) => join(root, path));
}

/**
 * Reads `*.rego` and `data.json` below a directory; hidden names and other files are passed over. Who writes a tenant's may
 * be nobody that this process trusts: what is no regular file, is too large, or lies elsewhere is refused unread. The
 * platform's may link to where its operator likes. Never rejects.
 */
export async function readPolicyFiles(root: string, layer: Layer): Promise<Read> {
  let reading = "";
  let content: Buffer = Buffer.alloc(0);
  try {
    const files: Record<string, string> = {};
    let data: JsonObject = {};
    let bytes = 0;
    const found = await walk(root);
    if (found.fault !== undefined) {
      reading = found.fault.path;
      throw found.fault.thrown;
    }
    const home = layer === "tenant" ? found.home : sep;
    for (const path of found.directories) {
      reading = path;
      await placeWithin(home, join(root, path));
    }
    for (const path of found.files) {
      reading = path;
      content = await readWithin(home, join(root, path), MAX_BYTES - bytes);
      bytes += content.byteLength;
      if (path.endsWith(".rego")) files[path] = textOf(content);
      else data = merge(data, nested(dirname(path), documentOf(content)), "data");
    }
    return decides(files) ? { ok: true, sources: { files, data } } : MISSING;
  } catch (thrown) {
    return unreadable(thrown, reading, content);
  }
}

/** Tests alone decide nothing. */
function decides(files: PolicyFiles["files"]): boolean {
  return Object.keys(files).some((path) => !path.endsWith("_test.rego"));
}

/** A deployment that empties the directory first must not lift the denials that were there. */
const MISSING: Read = {
  ok: false,
  problems: [problem("policies_missing", "there are no policies in this directory")],
  again: false,
};

function unreadable(thrown: unknown, reading: string, content: Buffer): Read {
  if (thrown instanceof PortcullisError) {
    const found = problem("policies_unreadable", thrown.reason, reading);
    return { ok: false, problems: [{ ...found, ...placeOfFault(content.toString()) }], again: false };
  }
  const found = problem("policies_unreadable", whyUnread(thrown), reading);
  return { ok: false, problems: [found], again: (thrown as NodeJS.ErrnoException).code !== undefined };
}

interface Walked {
  /** Where the root really is. */
  readonly home: string;
  readonly files: readonly string[];
  /** Those that could be read. */
  readonly directories: readonly string[];
  /** What could not be, if anything. A link that leads nowhere is that: what it should have denied would be missing. */
  readonly fault: { readonly path: string; readonly thrown: unknown } | undefined;
}

/** Paths below the root, those behind a fault as well: whoever watches them sees it mended. Never rejects. */
async function walk(root: string): Promise<Walked> {
  const faults: { readonly path: string; readonly thrown: unknown }[] = [];
  const note = (path: string) => (thrown: unknown) => void faults.push({ path, thrown });
  const home = (await realpath(root).catch(note(""))) ?? root;
  const files: string[] = [];
  const directories: string[] = [];
  const left = [""];
  let count = 0;
  for (const below of left) {
    const entries = await entriesOf(join(root, below), MAX_ENTRIES - count).catch(note(below));
    if (entries === undefined) continue;
    directories.push(below);
    count += entries.length;
    for (const entry of entries.filter(({ name }) => !name.startsWith("."))) {
      const path = below === "" ? entry.name : `${below}/${entry.name}`;
      // Nothing is asked of each file: the folder's changes are followed in the thread that serves.
      const found = entry.isFile() ? entry : await stat(join(root, path)).catch(note(path));
      if (found?.isDirectory()) left.push(path);
      else if (path.endsWith(".rego") || entry.name === "data.json") files.push(path);
    }
    if (count > MAX_ENTRIES) note("")(new Error(`more than ${MAX_ENTRIES} files`));
    else if (left.length > MAX_DIRECTORIES) note("")(new Error(`more than ${MAX_DIRECTORIES} directories`));
    else continue;
    break;
  }
  return { home, files, directories, fault: faults[0] };
}

/** At most one more than `most`, by name. */
async function entriesOf(directory: string, most: number): Promise<readonly Dirent[]> {
  const entries: Dirent[] = [];
  for await (const entry of await opendir(directory)) {
    entries.push(entry);
    if (entries.length > most) break;
  }
  return entries.sort((one, other) => (one.name < other.name ? -1 : 1));
}

/** A link that leads elsewhere would show its author, through this process's eyes, what only this process may read. */
async function placeWithin(home: string, path: string): Promise<string> {
  const real = await realpath(path);
  if (real === home || home === sep || real.startsWith(home + sep)) return real;
  throw new Error("a link leads out of the folder of policies");
}

/** A pipe would be waited for, and a device never ends. */
async function readWithin(home: string, path: string, most: number): Promise<Buffer> {
  const { O_RDONLY, O_NONBLOCK, O_NOFOLLOW } = constants;
  const file = await open(await placeWithin(home, path), O_RDONLY | O_NONBLOCK | O_NOFOLLOW);
  try {
    return await readRegular(file, most);
  } finally {
    await file.close();
  }
}

async function readRegular(file: FileHandle, most: number): Promise<Buffer> {
  const about = await file.stat();
  if (!about.isFile()) throw new Error("it is no regular file");
  // Its size is what it was a moment ago.
  const content =
    about.size > most
      ? undefined
      : await gather(file.createReadStream({ end: most, autoClose: false }), most);
  if (content === undefined) throw new Error(`more than ${MAX_BYTES} bytes of policies and data`);
  return content;
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
function placeOfFault(text: string): Partial<Pick<Problem, "row" | "col">> {
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
