import { readdirSync, readFileSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client as ModernClient, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Config, loadConfig } from "../../src/config/config.ts";
import { readDocument } from "../../src/config/document.ts";
import { startSupportDesk } from "../../src/demo/support-desk/support-desk.ts";
import type { PolicyContext, PolicyTarget, Principal } from "../../src/domain.ts";
import type { Json, JsonObject } from "../../src/lib/json.ts";
import { silentLog } from "../../src/lib/log.ts";
import { type OpenCapability, openCapability } from "../../src/policy/capability.ts";
import { compileSchema } from "../../src/policy/schema.ts";
import { createPolicyStore, type PolicyStore } from "../../src/policy/store.ts";
import { createToolchain } from "../../src/policy/toolchain.ts";

const ROOT = join(import.meta.dirname, "../..");
const CASES = join(ROOT, "test/cases");
const NOW = Date.parse("2026-11-02T09:00:00Z");

interface Case {
  readonly name: string;
  readonly principal: {
    readonly user: string;
    readonly roles?: readonly string[];
    readonly login_age?: number;
  };
  readonly server: string;
  readonly request: {
    readonly method: string;
    readonly params?: { readonly name: string; readonly arguments: JsonObject };
  };
  readonly want: {
    readonly effect: string;
    readonly code: string;
    readonly grant: string | null;
    readonly listed?: readonly string[];
    readonly forwarded?: JsonObject;
    readonly record?: { readonly reasons?: readonly string[]; readonly requirements?: JsonObject };
  };
}

interface Announced {
  readonly target: PolicyTarget;
  readonly inputSchema: JsonObject;
}

let config: Config;
let policies: PolicyStore;
const announced = new Map<string, Announced>();

beforeAll(async () => {
  const files = {
    readFile: (path: string) => readFile(path, "utf8"),
    readDir: (path: string) => readdir(path),
  };
  const loaded = await loadConfig(join(ROOT, "examples/acme-and-globex/portcullis.yaml"), {
    ...files,
    validateRecord: () => [],
  });
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
  config = loaded.config;
  for (const upstream of Object.keys(config.upstreams)) {
    for (const tool of await toolsOf(upstream))
      announced.set(`${upstream}__${tool.name}`, announce(upstream, tool));
  }
  const toolchain = createToolchain();
  policies = createPolicyStore({
    toolchain,
    platform: config.policies.path,
    tenants: new Map([["acme", join(ROOT, "examples/acme-and-globex/tenants/acme/policies")]]),
    tenantSchema: config.policies.tenant_schema ?? {},
    log: silentLog,
    clock: () => NOW,
  });
  await policies.load();
  await toolchain.close();
}, 120_000);
afterAll(() => policies.close());

interface Tool {
  readonly name: string;
  readonly inputSchema: object;
}

/** The definitions as the real servers announce them. */
async function toolsOf(upstream: string): Promise<readonly Tool[]> {
  if (upstream === "desk") return deskTools();
  const client = new Client({ name: "test", version: "1" });
  await client.connect(new StdioClientTransport(stdio(upstream)));
  const { tools } = await client.listTools();
  await client.close();
  return tools;
}

function stdio(upstream: string) {
  const server = `node_modules/@modelcontextprotocol/server-${upstream === "files" ? "filesystem" : upstream}/dist/index.js`;
  const args = [join(ROOT, server), ...(upstream === "files" ? [tmpdir()] : [])];
  const env = { PATH: "/nowhere", MEMORY_FILE_PATH: join(tmpdir(), "portcullis-cases-memory.jsonl") };
  return { command: process.execPath, args, env, stderr: "ignore" as const };
}

async function deskTools(): Promise<readonly Tool[]> {
  const desk = await startSupportDesk({ port: 0, keys: { keys: [] }, audience: "https://desk.example" });
  const client = new ModernClient({ name: "test", version: "1" }, { versionNegotiation: { mode: "auto" } });
  await client.connect(new StreamableHTTPClientTransport(new URL(desk.url)));
  const { tools } = await client.listTools();
  await client.close();
  await desk.close();
  return tools;
}

function announce(upstream: string, { name, inputSchema }: Tool): Announced {
  const given = config.upstreams[upstream];
  const labels = [...(given?.labels ?? []), ...(given?.targets[name]?.labels ?? [])].sort();
  const target = { upstream, kind: "tool", name, labels, announced: {} } as const;
  return { target, inputSchema: inputSchema as JsonObject };
}

async function contextOf({ principal, server }: Case): Promise<PolicyContext> {
  const user = config.authorization_server?.users[principal.user];
  const tenant = await config.tenants.get(user?.tenant ?? "");
  if (user === undefined || !tenant.ok) throw new Error(`unknown user ${principal.user}`);
  const now = NOW / 1000;
  const who: Principal = {
    kind: "user",
    issuer: "http://127.0.0.1:8080/oauth",
    subject: principal.user,
    tenant: user.tenant,
    home_tenant: user.tenant,
    roles: principal.roles ?? user.roles,
    scopes: [],
    client: "",
    auth_time: now - (principal.login_age ?? 60),
    acr: "",
    amr: [],
    actor: "",
    run: null,
    attributes: {},
  };
  return { principal: who, tenant: tenant.value.record, server, now };
}

function open(context: PolicyContext, { target, inputSchema }: Announced): OpenCapability {
  const [capability] = policies.current(context.tenant.id).capabilities(context, [target]);
  const compiled = compileSchema(inputSchema);
  if (capability === undefined || !compiled.ok) throw new Error(`${target.name} has no capability or schema`);
  return openCapability(capability, compiled.schema);
}

const cases = readdirSync(CASES)
  .filter((file) => file.endsWith(".yaml"))
  .map((file) => readDocument(readFileSync(join(CASES, file), "utf8"), file).value as Case);

test.each(cases.filter(({ request }) => request.method === "tools/list"))("$name", async (golden) => {
  const context = await contextOf(golden);
  const listed = [...announced].filter(([, one]) => open(context, one).listed).map(([name]) => name);
  expect(listed.sort()).toEqual([...(golden.want.listed ?? [])].sort());
});

test.each(cases.filter(({ request }) => request.method === "tools/call"))("$name", async (golden) => {
  const { params } = golden.request;
  const { want } = golden;
  const found = announced.get(params?.name ?? "");
  if (found === undefined)
    return expect(want).toMatchObject({ effect: "deny", code: "not_found", grant: null });
  const context = await contextOf(golden);
  const engine = policies.current(context.tenant.id);
  const decision = open(context, found).decide(
    params?.arguments ?? {},
    engine.requirements(context, found.target),
  );
  const { effect, grant, requirements } = decision;
  expect({ effect, code: effect === "allow" ? "ok" : decision.code, grant: grant?.reason ?? null }).toEqual({
    effect: want.effect,
    code: want.code,
    grant: want.grant,
  });
  if (want.record?.requirements !== undefined) expect(requirements).toEqual(want.record.requirements);
  if (want.record?.reasons !== undefined && effect === "deny")
    expect(decision.reasons).toEqual(want.record.reasons);
  const forwarded: Json = effect === "allow" ? decision.arguments : {};
  if (want.forwarded !== undefined) expect(forwarded).toEqual(want.forwarded);
});
