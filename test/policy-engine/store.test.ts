import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, rename, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeEach, expect, test, vi } from "vitest";
import type { Log } from "../../src/lib/log.ts";
import { readPolicyFiles } from "../../src/policy/policy-files.ts";
import { createPreparer } from "../../src/policy/preparation.ts";
import { createPolicyStore, type PolicyStore } from "../../src/policy/store.ts";
import { context, NOW, TENANT_SCHEMA, target, toolchain, wanted } from "./world.ts";

const grants = (reason: string) =>
  `package authz\n\ngrant contains {"reason": "${reason}"} if input.target.kind == "tool"\n\nholds.yes if input.tenant.id == "acme"\n`;
const BROKEN = "package authz\n\ngrant contains {\n";

interface Line {
  readonly level: string;
  readonly message: string;
  readonly problems?: readonly string[];
  readonly directory?: string;
}

let root: string;
let stores: PolicyStore[];
let lines: Line[];
let listeners: (() => void)[];

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "policy-engine-"));
  [stores, lines, listeners] = [[], [], []];
});
afterEach(async () => {
  for (const store of stores) store.close();
  await rm(root, { recursive: true });
});
afterAll(() => toolchain.close());

const write = (level: string) => (fields: object, message: string) => {
  lines.push({ level, message, ...fields });
  for (const listener of listeners) listener();
};
const log: Log = { debug: write("debug"), info: write("info"), warn: write("warn"), error: write("error") };

async function put(path: string, content: string): Promise<void> {
  await mkdir(join(root, path, ".."), { recursive: true });
  await writeFile(join(root, path), content);
}

/** Tenants with policies of their own, and tenants without. */
async function storeOf(
  tenants: readonly string[] = [],
  plain: readonly string[] = tenants.includes("acme") ? [] : ["acme"],
  build = toolchain.build,
): Promise<PolicyStore> {
  const store = createPolicyStore({
    prepare: createPreparer({ build }),
    platform: join(root, "platform"),
    tenants: new Map([
      ...tenants.map((tenant) => [tenant, join(root, tenant)] as const),
      ...plain.map((tenant) => [tenant, null] as const),
    ]),
    tenantSchema: TENANT_SCHEMA,
    log,
    clock: () => NOW * 1000,
  });
  stores.push(store);
  await store.load();
  return store;
}

/** Resolves with the next log line that fits. */
function logged(fits: (line: Line) => boolean): Promise<Line> {
  const from = lines.length;
  return new Promise((resolve) => {
    listeners.push(() => {
      const found = lines.slice(from).find(fits);
      if (found) resolve(found);
    });
  });
}

const reasons = (store: PolicyStore, tenant = "acme") =>
  store
    .current(tenant)
    .capabilities(context(), [target()])[0]
    ?.grants.map(({ reason }) => reason);

test("without a good bundle nothing is served, and the log says why at file:row:col", async () => {
  await put("platform/authz.rego", BROKEN);
  const store = await storeOf();
  expect(() => store.current("acme")).toThrow(expect.objectContaining({ code: "policy_unavailable" }));
  expect(lines).toEqual([
    expect.objectContaining({ level: "error", message: expect.stringContaining("nothing is served") }),
  ]);
  expect(lines[0]?.problems?.[0]).toMatch(/^authz\.rego:\d+:\d+: rego_parse_error/);
  expect(store.status().platform).toMatchObject({ revision: null, lastError: { at: NOW * 1000 } });
});

test.each([
  ["a directory that is not there", undefined],
  ["a directory without policies", "platform/readme.md"],
])("%s is no policy", async (_, path) => {
  if (path) await put(path, "");
  const store = await storeOf();
  expect(() => store.current("acme")).toThrow(expect.objectContaining({ code: "policy_unavailable" }));
});

test("a changed file is built and swapped whole; a decision under way keeps its snapshot", async () => {
  await put("platform/authz.rego", grants("first"));
  const store = await storeOf();
  const before = store.current("acme");
  expect(reasons(store)).toEqual(["first"]);
  const swapped = logged(({ message }) => message === "policies in force");
  await put("platform/authz.rego", grants("second"));
  await swapped;
  expect(reasons(store)).toEqual(["second"]);
  expect(before.capabilities(context(), [target()])[0]?.grants[0]?.reason).toBe("first");
  expect(before.requirements(context(), target()).hold([wanted("yes")], {})).toEqual([true]);
  expect(store.current("acme").revision.platform).not.toBe(before.revision.platform);
  expect(store.status().platform).toMatchObject({
    revision: store.current("acme").revision.platform,
    since: NOW * 1000,
  });
});

test("a bad bundle keeps the last good one and says so loudly, until it is mended", async () => {
  await put("platform/authz.rego", grants("good"));
  const store = await storeOf();
  const { revision } = store.status().platform;
  const refused = logged(({ level }) => level === "error");
  await put("platform/authz.rego", BROKEN);
  expect((await refused).message).toContain("the last good ones stay in force");
  expect(reasons(store)).toEqual(["good"]);
  expect(store.status().platform).toMatchObject({ revision });
  expect(store.status().platform.lastError?.problems[0]).toMatchObject({ file: "authz.rego" });
  await put("platform/authz.rego", grants("good"));
  expect((await store.reload()).platform).toMatchObject({ revision, lastError: null });
});

test("files in a new directory, and a directory that is replaced, are seen", async () => {
  await put("platform/authz.rego", grants("old"));
  const store = await storeOf();
  const joined = logged(({ message }) => message === "policies in force");
  await put("platform/more/authz.rego", grants("more"));
  await joined;
  expect(reasons(store)).toEqual(["more", "old"]);
  const replaced = logged(({ message }) => message === "policies in force");
  await put("next/authz.rego", grants("new"));
  await rename(join(root, "platform"), join(root, "platform-old"));
  await rename(join(root, "next"), join(root, "platform"));
  await replaced;
  expect(reasons(store)).toEqual(["new"]);
  const edited = logged(({ message }) => message === "policies in force");
  await put("platform/authz.rego", grants("edited"));
  await edited;
  expect(reasons(store)).toEqual(["edited"]);
});

test("a directory that is emptied keeps what was in force", async () => {
  await put("platform/authz.rego", grants("kept"));
  const store = await storeOf();
  await rm(join(root, "platform/authz.rego"));
  expect((await store.reload()).platform.lastError?.problems[0]?.code).toBe("policies_missing");
  expect(reasons(store)).toEqual(["kept"]);
});

test("a tenant's broken policies deny that tenant and disturb no other", async () => {
  await put("platform/authz.rego", grants("platform"));
  await put("acme/authz.rego", BROKEN);
  await put("globex/authz.rego", grants("globex"));
  const store = await storeOf(["acme", "globex"], ["initech"]);
  expect(() => store.current("acme")).toThrow(expect.objectContaining({ code: "policy_unavailable" }));
  expect(reasons(store, "globex")).toEqual(["platform", "globex"]);
  expect(reasons(store, "initech")).toEqual(["platform"]);
});

test("ten thousand tenants without policies of their own share one engine", async () => {
  await put("platform/authz.rego", grants("platform"));
  const tenants = Array.from({ length: 10_000 }, (_, i) => `tenant-${i}`);
  const store = await storeOf([], tenants);
  expect(new Set(tenants.map((tenant) => store.current(tenant))).size).toBe(1);
});

test("for a tenant of whose policies nothing is known the platform's do not decide alone", async () => {
  await put("platform/authz.rego", grants("platform"));
  const store = await storeOf([], ["acme"]);
  expect(reasons(store, "acme")).toEqual(["platform"]);
  for (const tenant of ["late", "", "__proto__"])
    expect(() => store.current(tenant)).toThrow(expect.objectContaining({ code: "policy_unavailable" }));
});

test("data.json is read at its directory's place, and never rounded or doubled", async () => {
  await put(
    "platform/authz.rego",
    `package authz\n\ngrant contains {"reason": data.desk.names[0]} if input.target.kind == "tool"\n\nholds.yes if input.tenant.id == "acme"\n`,
  );
  await put("platform/desk/data.json", '{"names": ["from data"]}');
  const store = await storeOf();
  expect(reasons(store)).toEqual(["from data"]);
  for (const [bad, why] of [
    ['{"id": 9007199254740993}', "double"],
    ['{"a": 1, "a": 2}', "repeats"],
    ["[]", "object"],
    ["{", "JSON"],
  ] as const) {
    await put("platform/desk/data.json", bad);
    const [problem] = (await store.reload()).platform.lastError?.problems ?? [];
    expect(problem).toMatchObject({
      code: "policies_unreadable",
      file: "desk/data.json",
      message: expect.stringContaining(why),
    });
  }
  await put("platform/desk/data.json", '{\n  "names": ["x"],\n}');
  const [place] = (await store.reload()).platform.lastError?.problems ?? [];
  expect(place).toMatchObject({ file: "desk/data.json", row: 3, col: 1 });
  await put("platform/data.json", '{"desk": {"names": ["other"]}}');
  await put("platform/desk/data.json", '{"names": ["one"]}');
  expect((await store.reload()).platform.lastError?.problems[0]?.message).toContain("data.desk.names");
  expect(reasons(store)).toEqual(["from data"]);
});

test("Rego in another encoding is refused: a denial would compare with another text than its author sees", async () => {
  await put("platform/authz.rego", grants("kept"));
  const store = await storeOf();
  const source = Buffer.from(
    'package authz\n\ndeny contains "x" if "café" in input.principal.roles\n',
    "latin1",
  );
  await writeFile(join(root, "platform/deny.rego"), source);
  const { lastError } = (await store.reload()).platform;
  expect(lastError?.problems).toMatchObject([{ file: "deny.rego", message: "it is not UTF-8" }]);
  expect(reasons(store)).toEqual(["kept"]);
});

test("a link that leads nowhere, or in a circle, is an error and no silent gap", async () => {
  await put("platform/authz.rego", grants("kept"));
  const store = await storeOf();
  await symlink(join(root, "gone.rego"), join(root, "platform/deny.rego"));
  expect((await store.reload()).platform.lastError?.problems[0]).toMatchObject({
    code: "policies_unreadable",
    file: "deny.rego",
  });
  await rm(join(root, "platform/deny.rego"));
  await symlink(join(root, "platform"), join(root, "platform/again"));
  expect((await store.reload()).platform.lastError?.problems[0]?.code).toBe("policies_unreadable");
  expect(reasons(store)).toEqual(["kept"]);
});

test.each([
  ["another tenant's data", "data.json", "../globex/data.json"],
  ["a file of this machine", "deny.rego", "/etc/hostname"],
  ["another tenant's folder", "lib", "../globex"],
])("a link to %s is not followed, and shows nothing of it", async (_, name, to) => {
  await put("platform/authz.rego", grants("platform"));
  await put("globex/data.json", '{"secret": "of globex"}');
  await put("acme/authz.rego", grants("acme"));
  const store = await storeOf(["acme"]);
  await symlink(to, join(root, "acme", name));
  const { lastError } = (await store.reload()).tenants.acme ?? {};
  expect(lastError?.problems[0]?.message).toBe("a link leads out of the folder of policies");
  expect(reasons(store)).toEqual(["acme", "platform"].sort().reverse());
});

test("the platform's folder may link to where its operator keeps a library", async () => {
  await put("library/authz.rego", grants("of the library"));
  await mkdir(join(root, "platform"));
  await symlink("../library", join(root, "platform/lib"));
  expect(reasons(await storeOf())).toEqual(["of the library"]);
});

test("links within the folder are followed, as a mounted ConfigMap has them", async () => {
  await put("platform/..2026/authz.rego", grants("mounted"));
  await symlink("..2026", join(root, "platform/..data"));
  await symlink("..data/authz.rego", join(root, "platform/authz.rego"));
  await symlink("platform", join(root, "linked"));
  expect(reasons(await storeOf())).toEqual(["mounted"]);
  expect(await readPolicyFiles(join(root, "linked"), "tenant")).toMatchObject({ ok: true });
});

test("a pipe, a device and a file without end hold up nobody: they are refused unread", async () => {
  await put("platform/authz.rego", grants("platform"));
  await put("acme/authz.rego", grants("acme"));
  const store = await storeOf(["acme"]);
  const refused = async () => (await store.reload()).tenants.acme?.lastError?.problems[0];
  execFileSync("mkfifo", [join(root, "acme/deny.rego")]);
  expect(await refused()).toMatchObject({ file: "deny.rego", message: "it is no regular file" });
  await rm(join(root, "acme/deny.rego"));
  await put("acme/data.json", "");
  await truncate(join(root, "acme/data.json"), 1 << 30);
  const before = process.memoryUsage.rss();
  expect((await refused())?.message).toContain("more than 16777216 bytes");
  expect(process.memoryUsage.rss() - before).toBeLessThan(100 << 20);
});

test("a folder of very many directories or files is refused before it takes all watches", async () => {
  await put("platform/authz.rego", grants("kept"));
  const store = await storeOf();
  for (let at = 0; at < 501; at += 1) await mkdir(join(root, `platform/d${at}`));
  expect((await store.reload()).platform.lastError?.problems[0]?.message).toBe("more than 500 directories");
  expect(reasons(store)).toEqual(["kept"]);
});

test("a folder that changes all the time is built one after the other, not once for each change", async () => {
  await put("platform/authz.rego", grants("first"));
  const build = vi.fn(toolchain.build);
  const store = await storeOf([], ["acme"], build);
  await put("platform/authz.rego", BROKEN);
  await Promise.all(Array.from({ length: 50 }, () => store.reload()));
  expect(build.mock.calls.length).toBeLessThanOrEqual(4);
});

test("a link that leads nowhere stops no later change from being seen, nor its own target", async () => {
  await put("platform/authz.rego", grants("kept"));
  const store = await storeOf();
  const bad = logged(({ level }) => level === "error");
  await symlink(join(root, "late.rego"), join(root, "platform/late.rego"));
  await bad;
  const good = logged(({ message }) => message === "policies in force");
  await rm(join(root, "platform/late.rego"));
  await good;
  expect(store.status().platform.lastError).toBeNull();
  const changed = logged(({ message }) => message === "policies in force");
  await put("platform/authz.rego", grants("changed"));
  await changed;
  expect(reasons(store)).toEqual(["changed"]);
  // That a link's target comes is no change of the folder.
  const dangling = logged(({ level }) => level === "error");
  await mkdir(join(root, "platform/.stage"));
  await symlink(".stage/late.rego", join(root, "platform/late.rego"));
  await dangling;
  const whole = logged(({ message }) => message === "policies in force");
  await writeFile(
    join(root, "platform/.stage/late.rego"),
    'package authz\n\ndeny contains "late" if input.server == "lab"\n',
  );
  await whole;
  expect(store.status().platform.lastError).toBeNull();
  expect(lines.filter(({ level }) => level === "error")).toHaveLength(2);
});

test("a toolchain that fails is a bad bundle, not a crash", async () => {
  await put("platform/authz.rego", grants("kept"));
  const build = vi.fn(toolchain.build);
  const store = await storeOf([], ["acme"], build);
  build.mockRejectedValue(new Error("worker gone"));
  await put("platform/authz.rego", grants("new"));
  expect((await store.reload()).platform.lastError?.problems[0]?.message).toBe("worker gone");
  expect(reasons(store)).toEqual(["kept"]);
});
