import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "vitest";
import { ROOT } from "./world.ts";

const MAIN = join(ROOT, "dist/main.js");

test("--version says which this is", () => {
  const { status, stdout } = spawnSync(process.execPath, [MAIN, "--version"], { encoding: "utf8" });
  expect([status, stdout]).toEqual([0, "0.1.0\n"]);
});

test("a reader that has seen enough, such as head, ends a command without a word", () => {
  const piped = ["-o", "pipefail", "-c", '"$0" "$1" schema config | true', process.execPath, MAIN];
  const { status, stderr } = spawnSync("bash", piped, { encoding: "utf8" });
  expect([status, stderr]).toEqual([0, ""]);
});
