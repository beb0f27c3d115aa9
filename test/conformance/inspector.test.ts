import { spawn } from "node:child_process";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { JsonObject } from "../../src/lib/json.ts";
import { OPEN, openWorld, ROOT, type World } from "../e2e/world.ts";
import { type Served, serveEverything } from "../upstream/servers.ts";

const TOOLS = join(ROOT, ".services", "conformance", "node_modules", ".bin");
let everything: Served;
let world: World;

beforeAll(async () => {
  everything = await serveEverything();
  const config = {
    upstreams: { everything: { url: everything.url } },
    servers: { main: { upstreams: ["everything"] } },
  };
  world = await openWorld({
    config,
    policies: `${OPEN}\ndeny contains "no" if input.target.name == "get-env"\n`,
  });
});
afterAll(async () => {
  await world.close();
  await everything.close();
});

/** Runs the MCP Inspector's command line, which needs a newer Node than the gateway does. */
async function inspect(...args: readonly string[]): Promise<{ out: string; code: number | null }> {
  const token = await world.token("ann", "main");
  const common = [
    "--cli",
    world.url("main"),
    "--transport",
    "http",
    "--header",
    `Authorization: Bearer ${token}`,
  ];
  const child = spawn(join(TOOLS, "node"), [join(TOOLS, "mcp-inspector"), ...common, ...args], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  let out = "";
  child.stdout.on("data", (chunk) => {
    out += chunk;
  });
  child.stderr.on("data", (chunk) => {
    out += chunk;
  });
  const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
  return { out, code };
}

const told = ({ out }: { out: string }) => JSON.parse(out) as Record<string, JsonObject[]>;

test("the MCP Inspector lists, calls and reads at the guarded URL", async () => {
  const tools = told(await inspect("--method", "tools/list")).tools?.map(({ name }) => name);
  expect(tools).toContain("echo");
  expect(tools).not.toContain("get-env");
  const called = await inspect(
    "--method",
    "tools/call",
    "--tool-name",
    "echo",
    "--tool-arg",
    "message=hello",
  );
  expect(told(called).content).toMatchObject([{ type: "text", text: "Echo: hello" }]);
  const uri = "demo://resource/static/document/features.md";
  const read = await inspect("--method", "resources/read", "--uri", uri);
  expect(told(read).contents).toMatchObject([{ uri, mimeType: "text/markdown" }]);
  const refused = await inspect("--method", "tools/call", "--tool-name", "get-env");
  expect(refused.code).not.toBe(0);
  expect(refused.out).toContain("not found");
});
