import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { expect, onTestFinished, test } from "vitest";
import { ownPort } from "../support/port.ts";
import { ROOT, readPage } from "./page.ts";

const page = readPage("../README.md");

/** The README's files in a folder beside `dist`, less the port, which another process may have. */
function ownFolder(port: number): string {
  const clone = mkdtempSync(join(tmpdir(), "readme-"));
  onTestFinished(() => rmSync(clone, { recursive: true }));
  for (const name of ["dist", "node_modules"]) symlinkSync(join(ROOT, name), join(clone, name));
  for (const [language, name] of [
    ["yaml", "my/portcullis.yaml"],
    ["rego", "my/policies/office.rego"],
    ["js", "my/agent.mjs"],
  ] as const) {
    const [block] = page.blocks(language, name);
    mkdirSync(dirname(join(clone, name)), { recursive: true });
    writeFileSync(
      join(clone, name),
      `${name.endsWith(".yaml") ? `listen: {port: ${port}}\n` : ""}${block?.text}`,
    );
  }
  return join(clone, "my");
}

test("the first policy of one's own prints what the README says, command by command", async () => {
  const port = await ownPort();
  const cwd = ownFolder(port);
  const printed = (...args: readonly string[]) => spawnSync("node", args, { cwd, encoding: "utf8" }).stdout;
  const main = "../dist/main.js";
  const [shown] = page.blocks("console");
  let console = `$ cd my\n$ node ${main} check\n${printed(main, "check")}`;
  const gateway = spawn("node", [main, "serve"], { cwd, stdio: ["ignore", "pipe", "ignore"] });
  onTestFinished(() => void gateway.kill());
  for await (const line of createInterface({ input: gateway.stdout })) {
    console += `$ node ${main} serve 2> gateway.log &\n${line}\n`;
    break;
  }
  const url = `http://127.0.0.1:${port}/mcp/office`;
  const agent = printed("agent.mjs", url, printed(main, "token", "ann").trim());
  console += `$ node agent.mjs ${url} $(node ${main} token ann)\n${agent}`;
  expect(console.replaceAll(`:${port}/`, ":8080/")).toBe(shown?.text);
});
