import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { randomId } from "../lib/ids.ts";
import { digest, isJsonObject, type Json, sha256 } from "../lib/json.ts";
import type { Log } from "../lib/log.ts";
import { type Built, builtPolicy, requestOf, type Toolchain } from "./toolchain.ts";
import { TOOLCHAIN_WASM } from "./toolchain-process.ts";
import type { PolicySources } from "./toolchain-types.ts";

/** Part of every key: raise it when what is stored, or what is made of it, changes. */
const VERSION = 1;
const NAME = /^[0-9a-f]{64}$/;

export interface BundleCacheOptions {
  /** Made, with mode 0700, when something is first stored. */
  readonly directory: string;
  readonly toolchain: Pick<Toolchain, "build">;
  /** Builds that are kept; the ones unused for longest go first. */
  readonly capacity: number;
  readonly log: Log;
}

/** A build, and what it is a build of. */
interface Stored extends Built {
  readonly key: string;
}

/**
 * The same builds, kept on disk, so that a start with sources that were built before starts no toolchain. A file's name
 * is the digest of all that determines the build, and its first line the digest of the rest: what is torn, altered
 * or another's is built again. It guards against accidents, not against someone who may write the directory.
 */
export function createBundleCache(options: BundleCacheOptions): Pick<Toolchain, "build"> {
  const { directory, toolchain, log } = options;
  let version: Promise<string> | undefined;

  async function keyOf(sources: PolicySources): Promise<string> {
    version ??= toolchainDigest(directory);
    return digest([VERSION, await version, { ...requestOf(sources) } as Json]);
  }

  async function keep(key: string, build: Built): Promise<void> {
    try {
      await writeWhole(join(directory, key), withDigest({ key, ...build }));
      await dropOldest(options);
    } catch (err) {
      log.warn({ err, directory }, "a built policy could not be kept: the next start builds it again");
    }
  }

  return {
    async build(sources) {
      const key = await keyOf(sources);
      const known = await read(join(directory, key), key);
      if (known !== null) return { ok: true, policy: builtPolicy(known, sources.data) };
      const built = await toolchain.build(sources);
      if (built.ok) {
        const { wasm, facts, warnings } = built.policy;
        await keep(key, { wasm: Buffer.from(wasm).toString("base64"), facts, warnings });
      }
      return built;
    },
  };
}

/**
 * The digest of the toolchain. To hash its forty megabytes is a tenth of a start, so that it is remembered for as long
 * as the file's inode is untouched. Remembered wrongly it finds no build, for each tells the key that it was made under.
 */
async function toolchainDigest(directory: string): Promise<string> {
  const { dev, ino, size, mtimeNs, ctimeNs } = await stat(TOOLCHAIN_WASM, { bigint: true });
  const state = [dev, ino, size, mtimeNs, ctimeNs].join(" ");
  const path = join(directory, "toolchain");
  const [known, sum = ""] = (await readFile(path, "utf8").catch(() => "")).split("\n");
  if (known === state && NAME.test(sum)) return sum;
  const hash = createHash("sha256");
  await pipeline(createReadStream(TOOLCHAIN_WASM, { highWaterMark: 1 << 20 }), hash);
  const fresh = hash.digest("hex");
  await writeWhole(path, `${state}\n${fresh}\n`).catch(() => undefined);
  return fresh;
}

function withDigest(stored: Stored): string {
  const text = JSON.stringify(stored);
  return `${sha256(text)}\n${text}`;
}

/** The build as it was stored under this key; null: there is none, or not one to be trusted. */
async function read(path: string, key: string): Promise<Stored | null> {
  try {
    const file = await readFile(path, "utf8");
    const text = file.slice(65);
    if (file.slice(0, 65) !== `${sha256(text)}\n`) return null;
    const stored: unknown = JSON.parse(text);
    if (!isJsonObject(stored) || stored.key !== key) return null;
    const now = new Date();
    await utimes(path, now, now).catch(() => undefined);
    return stored as unknown as Stored;
  } catch {
    return null;
  }
}

/** A reader sees the file as it was, or as it will be. */
async function writeWhole(path: string, text: string): Promise<void> {
  const part = `${path}.${randomId()}`;
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  try {
    await writeFile(part, text, { mode: 0o600, flag: "wx" });
    await rename(part, path);
  } catch (error) {
    await rm(part, { force: true });
    throw error;
  }
}

const PART_MS = 60_000;

/** Also drops what a writer that was killed left half written. */
async function dropOldest({ directory, capacity }: BundleCacheOptions): Promise<void> {
  const names = (await readdir(directory)).filter((name) => NAME.test(name.slice(0, 64)));
  const found = await Promise.all(
    names.map(async (name) => ({ name, used: (await stat(join(directory, name))).mtimeMs })),
  );
  const whole = found.filter(({ name }) => NAME.test(name)).sort((a, b) => b.used - a.used);
  const left = found.filter(({ name, used }) => !NAME.test(name) && used < Date.now() - PART_MS);
  for (const { name } of [...whole.slice(capacity), ...left])
    await rm(join(directory, name), { force: true });
}
