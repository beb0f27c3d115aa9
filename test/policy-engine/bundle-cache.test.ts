import { mkdtemp, readdir, readFile, rm, stat, truncate, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeEach, expect, test } from "vitest";
import { sha256 } from "../../src/lib/json.ts";
import { silentLog } from "../../src/lib/log.ts";
import { createBundleCache } from "../../src/policy/bundle-cache.ts";
import type { PolicySources, Toolchain } from "../../src/policy/toolchain.ts";
import { TENANT_SCHEMA, toolchain } from "./world.ts";

const scratch = await mkdtemp(join(tmpdir(), "portcullis-bundles-"));
afterAll(async () => {
  await toolchain.close();
  await rm(scratch, { recursive: true });
});

let directory = "";
let asked = 0;
beforeEach(async () => {
  directory = join(await mkdtemp(join(scratch, "state-")), "bundles");
  asked = 0;
});

const counted: Pick<Toolchain, "build"> = {
  build: (sources) => {
    asked += 1;
    return toolchain.build(sources);
  },
};
const cache = (capacity = 8) =>
  createBundleCache({ directory, toolchain: counted, capacity, log: silentLog });

function sources(rule = `grant contains {"reason": "a"} if input.server == "s"`): PolicySources {
  return { files: { "a.rego": `package authz\n\n${rule}\n` }, data: { x: 1 }, tenantSchema: TENANT_SCHEMA };
}

/** The files that hold builds. */
async function kept(): Promise<string[]> {
  const names = await readdir(directory);
  return names.filter((name) => name !== "toolchain").map((name) => join(directory, name));
}
const only = async () => (await kept())[0] ?? "";

test("sources that were built before are not built again, and nothing about them differs", async () => {
  const built = await cache().build(sources());
  expect(await cache().build(sources())).toEqual(built);
  expect(asked).toBe(1);
});

test.each<[string, Partial<PolicySources>]>([
  [
    "source",
    { files: { "a.rego": `package authz\n\ngrant contains {"reason": "b"} if input.server == "s"\n` } },
  ],
  ["file's name", { files: { "b.rego": sources().files["a.rego"] ?? "" } }],
  ["data", { data: { x: 2 } }],
  ["schema of tenants", { tenantSchema: { ...TENANT_SCHEMA, additionalProperties: false } }],
])("another %s is another build", async (_, change) => {
  await cache().build(sources());
  await cache().build({ ...sources(), ...change });
  expect(asked).toBe(2);
});

test("a toolchain that was replaced, or of which nothing sound is remembered, is looked at again", async () => {
  await cache().build(sources());
  const path = join(directory, "toolchain");
  const remembered = await readFile(path, "utf8");
  for (const other of ["", "1 2 3 4 5\nabc\n", remembered.replace(/^\d+/, "0")]) {
    await writeFile(path, other);
    await cache().build(sources());
    expect(await readFile(path, "utf8")).toBe(remembered);
  }
  expect(asked).toBe(1);
});

test("what is wrong is never kept", async () => {
  expect(await cache().build(sources("grant contains {"))).toMatchObject({ ok: false });
  expect(await kept()).toEqual([]);
});

test.each<[string, (path: string) => Promise<void>]>([
  ["empty", (path) => truncate(path, 0)],
  ["cut short", async (path) => truncate(path, (await stat(path)).size - 1)],
  [
    "altered by one byte",
    async (path) => {
      const bytes = await readFile(path);
      bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
      await writeFile(path, bytes);
    },
  ],
  [
    "another build's, whole, under this one's name",
    async (path) => {
      await cache().build(sources(`deny contains "all"`));
      const other = (await kept()).find((one) => one !== path) ?? "";
      await writeFile(path, await readFile(other));
      asked -= 1;
    },
  ],
  ["well sealed, and no build", (path) => writeFile(path, `${sha256('{"key":1}')}\n{"key":1}`)],
  [
    "a directory",
    (path) =>
      rm(path)
        .then(() => mkdtemp(path))
        .then(() => undefined),
  ],
])("a file that is %s is built again and put right", async (_, damage) => {
  const built = await cache().build(sources());
  await damage(await only());
  expect(await cache().build(sources())).toEqual(built);
  expect(asked).toBe(2);
  expect(await cache().build(sources())).toEqual(built);
  expect(asked).toBe(2);
});

test("files are for their owner alone, and nothing half written stays", async () => {
  await cache().build(sources());
  expect((await stat(directory)).mode & 0o777).toBe(0o700);
  expect((await stat(await only())).mode & 0o777).toBe(0o600);
  const killed = `${await only()}.part`;
  await writeFile(killed, "half");
  await utimes(killed, 0, 0);
  await cache().build(sources(`deny contains "b"`));
  expect(await kept()).toHaveLength(2);
  expect(await kept()).not.toContain(killed);
});

test("so many builds are kept, and the one unused for longest goes first", async () => {
  const deny = (reason: string) => sources(`deny contains "${reason}"`);
  const few = cache(2);
  for (const [at, reason] of ["a", "b"].entries()) {
    await few.build(deny(reason));
    for (const path of await kept()) await utimes(path, at, at);
  }
  await few.build(deny("a"));
  await few.build(deny("c"));
  expect(await kept()).toHaveLength(2);
  await few.build(deny("a"));
  expect(asked).toBe(3);
  await few.build(deny("b"));
  expect(asked).toBe(4);
});

test("a folder that cannot be written costs a build, not a start", async () => {
  await writeFile(directory, "a file");
  expect(await cache().build(sources())).toMatchObject({ ok: true });
});
