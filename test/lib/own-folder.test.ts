import { spawnSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { silentLog } from "../../src/lib/log.ts";
import { ownFolder, warnOfExposed } from "../../src/lib/own-folder.ts";

function folder(mode: number): string {
  const path = join(mkdtempSync(join(tmpdir(), "portcullis-own-")), "state");
  onTestFinished(() => rmSync(join(path, ".."), { recursive: true }));
  mkdirSync(path);
  chmodSync(path, mode);
  return path;
}

async function warnings(path: string): Promise<readonly unknown[]> {
  const told: unknown[] = [];
  await ownFolder("state.path", path, {
    ...silentLog,
    warn: (fields) => void told.push((fields as { others: unknown }).others),
  });
  return told;
}

test.each([0o777, 0o1777, 0o702])(
  "a folder of mode %o, where any user may write, is refused by its name",
  async (mode) => {
    const path = folder(mode);
    const refused = { code: "folder_exposed", reason: expect.stringContaining(path) };
    await expect(warnings(path)).rejects.toMatchObject(refused);
    const link = `${path}-link`;
    symlinkSync(path, link);
    await expect(warnings(link)).rejects.toMatchObject({ code: "folder_exposed" });
  },
);

test("a folder that its group may write to is warned of, one that others may only read is not", async () => {
  expect(await warnings(folder(0o2770))).toEqual([["its group"]]);
  expect(await warnings(folder(0o755))).toEqual([]);
});

test.runIf(process.getuid?.() === 0)("a folder of another user is warned of", async () => {
  const path = folder(0o700);
  chownSync(path, 1234, 1234);
  expect(await warnings(path)).toEqual([["its owner, user 1234"]]);
});

test("a folder that is not there is made for its owner alone", async () => {
  const path = join(folder(0o700), "a/b");
  expect(await warnings(path)).toEqual([]);
  expect(statSync(path).mode & 0o777).toBe(0o700);
});

test("a folder that cannot be made or used is told by the setting that names it", async () => {
  const path = join(folder(0o700), "a");
  writeFileSync(path, "");
  for (const taken of [path, join(path, "b")])
    await expect(warnings(taken)).rejects.toMatchObject({
      code: "folder_unusable",
      reason: expect.stringMatching(/^state\.path: (EEXIST|ENOTDIR): /),
    });
});

async function exposed(paths: readonly string[]): Promise<readonly unknown[]> {
  const told: unknown[] = [];
  await warnOfExposed("policies.path", paths, {
    ...silentLog,
    warn: (fields) => void told.push((fields as { path: unknown }).path),
  });
  return told;
}

test("of policies and pins that any user may write to is told, of another group's or one that is not there nothing", async () => {
  const [open, shared] = [folder(0o1777), folder(0o775)];
  const [loose, kept] = [join(shared, "a.rego"), join(shared, "b.rego")];
  for (const path of [loose, kept]) writeFileSync(path, "");
  chmodSync(loose, 0o666);
  expect(await exposed([open, shared, loose, kept, join(open, "none")])).toEqual([open, loose]);
});

test.runIf(process.getuid?.() === 0)(
  "of a mount that nobody can write to nothing is told, whatever its mode",
  async () => {
    const path = folder(0o700);
    const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", "ro,mode=777", "none", path]).status === 0;
    // Root of a container may not be allowed to.
    if (!mounted) return;
    onTestFinished(() => void spawnSync("umount", [path]));
    expect(statSync(path).mode & 0o777).toBe(0o777);
    expect(await exposed([path])).toEqual([]);
  },
);
