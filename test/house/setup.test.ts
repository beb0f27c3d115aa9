import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { expect, onTestFinished, test } from "vitest";

const SCRIPT = resolve(import.meta.dirname, "../../scripts/setup.mjs");

/** A clone that nothing was done to, and what set-up says there with these programs alone. */
function setUp(go: string | null) {
  const clone = mkdtempSync(join(tmpdir(), "portcullis-clone-"));
  onTestFinished(() => rmSync(clone, { recursive: true }));
  for (const folder of ["scripts", "toolchain", "src", "bin"]) mkdirSync(join(clone, folder));
  for (const file of ["package.json", "package-lock.json", "tsconfig.json", "toolchain/main.go"])
    writeFileSync(join(clone, file), "{}");
  cpSync(SCRIPT, join(clone, "scripts/setup.mjs"));
  symlinkSync(process.execPath, join(clone, "bin/node"));
  if (go !== null) writeFileSync(join(clone, "bin/go"), `#!/bin/sh\necho ${go}\n`, { mode: 0o755 });
  const { status, stdout, stderr } = spawnSync(join(clone, "bin/node"), ["scripts/setup.mjs"], {
    cwd: clone,
    encoding: "utf8",
    env: { PATH: join(clone, "bin") },
  });
  return { status, said: stdout + stderr, installed: existsSync(join(clone, "node_modules")) };
}

test.each([
  ["no Go", null],
  ["an old Go", "go version go1.25.9 linux/amd64"],
  ["a Go that says nothing", ""],
])("with %s set-up says in one line what to do, before anything is installed", (_, go) => {
  expect(setUp(go)).toEqual({
    status: 1,
    said: "setup: the Rego toolchain needs Go 1.26 or newer to build once: install it from your package manager or go.dev\n",
    installed: false,
  });
});
