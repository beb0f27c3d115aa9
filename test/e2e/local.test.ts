import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { userInfo } from "node:os";
import { join } from "node:path";
import * as v2 from "@modelcontextprotocol/client";
import { StdioClientTransport as V2Transport } from "@modelcontextprotocol/client/stdio";
import * as v1 from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport as V1Transport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { ElicitRequestSchema } from "@modelcontextprotocol/sdk/types.js";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { LogRecord } from "../../src/audit/line.ts";
import { readLog, verifyLog } from "../../src/audit/read.ts";
import type { JsonObject } from "../../src/lib/json.ts";
import { closeAll, serveModern } from "../upstream/servers.ts";
import { ANSWERS, CAPABILITIES, serveAskingLegacy } from "./asking.ts";
import { type Decision, ROOT, removeWritten, until, writeWorld } from "./world.ts";

/** The operating system's user may not roam, and may be asked. */
const POLICY = `package authz

grant contains {"reason": "the developer", "interaction": ["elicitation"]} if {
	input.principal.issuer == "os:local"
	"developer" in input.principal.roles
	not input.target.name in {"roots", "steps"}
}
`;
const MAIN = join(ROOT, "dist/main.js");
const USER = userInfo().username;
const INFO = { name: "a developer's client", version: "1" };

let legacy: Awaited<ReturnType<typeof serveAskingLegacy>>;
let folder: Awaited<ReturnType<typeof writeWorld>>;

beforeAll(async () => {
  legacy = await serveAskingLegacy();
  const modern = await serveModern();
  folder = await writeWorld({
    config: {
      upstreams: { legacy: { url: legacy.url }, modern: { url: modern.url } },
      servers: { legacy: { upstreams: ["legacy"] }, modern: { upstreams: ["modern"] } },
      local: { tenant: "acme", roles: ["developer"] },
    },
    policies: POLICY,
  });
});
afterAll(async () => {
  await removeWritten(folder.directory);
  await Promise.all([legacy.close(), closeAll()]);
});

const argsOf = (server: string) => [MAIN, "stdio", "-c", folder.file, "--server", server];
const spawned = (server: string) => ({
  command: process.execPath,
  args: argsOf(server),
  stderr: "ignore" as const,
});

interface LocalClient {
  list(): Promise<readonly string[]>;
  call(name: string, args?: JsonObject): Promise<JsonObject>;
  close(): Promise<void>;
}
type Called = (params: { name: string; arguments: JsonObject }) => Promise<JsonObject>;

async function withV1(server: string): Promise<LocalClient> {
  const client = new v1.Client(INFO, { capabilities: CAPABILITIES });
  client.setRequestHandler(ElicitRequestSchema, () => ({ ...ANSWERS.elicitation }));
  await client.connect(new V1Transport(spawned(server)));
  return asLocal(client);
}
function withV2(mode: "legacy" | { pin: string }) {
  return async (server: string): Promise<LocalClient> => {
    const client = new v2.Client(INFO, { capabilities: CAPABILITIES, versionNegotiation: { mode } });
    client.setRequestHandler("elicitation/create", () => ({ ...ANSWERS.elicitation }));
    await client.connect(new V2Transport(spawned(server)));
    return asLocal(client);
  };
}
function asLocal(client: v1.Client | v2.Client): LocalClient {
  const { callTool } = client as unknown as { callTool: Called };
  return {
    list: async () => (await client.listTools()).tools.map(({ name }) => name),
    call: (name, args = {}) => callTool.call(client, { name, arguments: args }),
    close: () => client.close(),
  };
}
const CLIENTS = [
  ["v1 (legacy)", withV1],
  ["v2 (legacy)", withV2("legacy")],
  ["v2 (modern)", withV2({ pin: "2026-07-28" })],
] as const;

/** The logs so far: one of each process. */
const logs = () => {
  const all = join(folder.directory, "log/stdio");
  return readdirSync(all).map((pid) => join(all, pid));
};
async function decisionsIn(log: string): Promise<Decision[]> {
  const all: LogRecord[] = [];
  for await (const one of readLog(log)) all.push(one);
  return all.filter((one): one is Decision => one.phase === "decision");
}

test.each(CLIENTS)(
  "a %s client over stdio sees, calls and is asked what policy allows its operating system's user",
  async (_, connect) => {
    const before = new Set(readdirSync(folder.directory).includes("log") ? logs() : []);
    const client = await connect("legacy");
    const tools = await client.list();
    expect(tools).toContain("elicit");
    expect(tools).not.toContain("roots");
    expect(JSON.stringify(await client.call("elicit"))).toContain("ann");
    await expect(client.call("roots")).rejects.toThrow(/no such target/i);
    await client.close();
    // A client may start more than one process until it is satisfied.
    const own = logs().filter((log) => !before.has(log));
    const decisions = (await Promise.all(own.map(decisionsIn))).flat();
    expect(new Set(decisions.map(({ principal }) => principal?.subject))).toEqual(new Set([USER]));
    expect(decisions.find(({ target }) => target?.name === "roots")).toMatchObject({
      effect: "deny",
      principal: { issuer: "os:local", tenant: "acme", client: "stdio" },
    });
  },
);

test("arguments that a client over HTTP would repeat in headers are asked of none over stdio", async () => {
  const client = await withV2({ pin: "2026-07-28" })("modern");
  expect(await client.call("move", { region: "nörth" })).toMatchObject({
    content: [{ text: "moved to nörth" }],
  });
  await client.close();
});

test("several work at once, each with a log of its own that is whole", async () => {
  const before = logs().length;
  const clients = await Promise.all([withV1("legacy"), withV1("legacy"), withV2("legacy")("modern")]);
  const said = await Promise.all(
    clients.map((client, at) => client.call("echo", at === 2 ? { text: "hi" } : {})),
  );
  expect(said.map((one) => JSON.stringify(one)).every((one) => /echo|hi/.test(one))).toBe(true);
  expect(logs().length).toBe(before + 3);
  await Promise.all(clients.map((client) => client.close()));
  for (const log of logs()) expect(await verifyLog(log)).toMatchObject({ ok: true });
});

test("stdout has messages and nothing else; the end of input ends the process when all is answered", async () => {
  const sessions = legacy.sessions.size;
  const child = spawn(process.execPath, argsOf("legacy"), { stdio: ["pipe", "pipe", "pipe"] });
  let out = "";
  child.stdout.on("data", (chunk) => {
    out += chunk;
  });
  child.stderr.resume();
  const params = { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: INFO };
  const messages = [
    { id: 1, method: "initialize", params },
    { method: "notifications/initialized" },
    { id: 2, method: "tools/call", params: { name: "echo", arguments: {} } },
    { id: 3, method: "tools/call", params: { name: "nothing", arguments: {} } },
  ];
  for (const message of messages) child.stdin.write(`${JSON.stringify({ jsonrpc: "2.0", ...message })}\n`);
  child.stdin.end("not json\n");
  const [code] = await once(child, "close");
  expect(code).toBe(0);
  const lines = out
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as { id: unknown; jsonrpc: string });
  expect(lines.every(({ jsonrpc }) => jsonrpc === "2.0")).toBe(true);
  expect(new Set(lines.map(({ id }) => id))).toEqual(new Set([1, 2, 3, null]));
  await until("the upstream session's end", () => legacy.sessions.size <= sessions);
});

test("without a user's place in the configuration, or a server's name, it says so and ends", async () => {
  const child = spawn(process.execPath, [MAIN, "stdio", "-c", folder.file], {
    stdio: ["pipe", "pipe", "pipe"],
  });
  let said = "";
  child.stderr.on("data", (chunk) => {
    said += chunk;
  });
  const [code] = await once(child, "close");
  expect([code, said]).toEqual([2, "portcullis: name a virtual server with --server: legacy, modern\n"]);
});

test.each([
  ["at a signal, while its client keeps the input open", "reads", "SIGTERM"],
  ["at a signal, when its client reads nothing", "ignores", "SIGTERM"],
  ["when its client reads no more, and keeps the input open", "leaves", null],
] as const)("the process ends %s", async (_, client, signal) => {
  const child = spawn(process.execPath, argsOf("modern"), { stdio: ["pipe", "pipe", "ignore"] });
  const ended = once(child, "exit");
  child.stdin.on("error", () => {}).write("{}\n");
  await once(child.stdout, "readable");
  if (client === "reads") child.stdout.resume();
  if (client === "leaves") child.stdout.destroy();
  child.stdin.write("{}\n".repeat(30_000));
  await new Promise((going) => setTimeout(going, 1000));
  if (signal !== null) child.kill(signal);
  const waited = new Promise((resolve) => setTimeout(resolve, 15_000, "still there").unref());
  const end = await Promise.race([ended, waited]);
  child.kill("SIGKILL");
  expect(end).toEqual([0, null]);
});
