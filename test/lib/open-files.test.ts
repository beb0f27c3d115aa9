import { execFileSync } from "node:child_process";
import { expect, test } from "vitest";
import { maxOpenFiles } from "../../src/lib/open-files.ts";

test.runIf(process.platform === "linux")("how many files may be open is what the system says", () => {
  const args = ["--pid", String(process.pid), "--nofile", "--output", "SOFT", "--noheadings"];
  expect(maxOpenFiles()).toBe(Number(execFileSync("prlimit", args, { encoding: "utf8" })));
});
