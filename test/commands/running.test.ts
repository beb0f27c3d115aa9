import { chmodSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { pin } from "../../src/commands/pin.ts";
import { type Running, start } from "../../src/commands/serve.ts";
import { status } from "../../src/commands/status.ts";
import { token } from "../../src/commands/token.ts";
import { load } from "../../src/compose/load.ts";
import { startSupportDesk } from "../../src/demo/support-desk/support-desk.ts";
import { silentLog } from "../../src/lib/log.ts";
import { listing, serveShelf } from "../e2e/shelf.ts";
import { ask, until } from "../e2e/world.ts";
import { ownPort } from "../support/port.ts";
import { CONFIG, company, OWN } from "./company.ts";
import { surroundings } from "./world.ts";

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

/** A gateway before a real server, whose `refund` is not the one that was pinned. */
async function running(): Promise<{ folder: string; gateway: Running }> {
  const desk = await startSupportDesk({ port: 0, keys: { keys: [] }, audience: "https://crm" });
  closing.push(() => desk.close());
  return runningBefore(desk.url);
}

async function runningBefore(url: string, more = ""): Promise<{ folder: string; gateway: Running }> {
  const listen = `listen: {port: ${await ownPort()}}\n${more}`;
  const folder = company({ "portcullis.yaml": listen + CONFIG.replace("http://127.0.0.1:9/mcp", url) });
  const { around } = surroundings(folder);
  const loaded = await load({ config: "portcullis.yaml" }, around, { secrets: true });
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
  const gateway = await start(loaded.config, around);
  closing.push(() => gateway.close());
  return { folder, gateway };
}

type Command = typeof status | typeof pin | typeof token;

async function run(command: Command, folder: string, options: object = {}) {
  const { around, printed } = surroundings(folder);
  const given = { config: "portcullis.yaml", arguments: [], ...options };
  return { code: await command(given, around), ...printed };
}

const REFUND = { arguments: ["crm", "refund"] };

test("status names what is quarantined with what changed; pin brings it back at once", async () => {
  const { folder } = await running();
  const before = await run(status, folder);
  expect(before.out).toMatch(
    /^ready {2}http:\/\/127\.0\.0\.1:\d+ {2}0 sessions\npolicies\n {2}platform {2}[0-9a-f]{12} {2}since 20/,
  );
  expect(before.out).toMatch(/\n {2}crm {2}live {2}modern 2026-07-28 {2}6 targets {2}1 quarantined\n/);
  expect(before.out).toContain("  changed crm: tool refund\n");
  expect(before.out).toContain('    /description: "Pays back." -> "');
  expect(before.out).toContain("    approve: portcullis pin crm refund\n");
  expect(before.code).toBe(1);
  expect(await run(pin, folder, REFUND)).toEqual({ code: 0, out: "approved: crm: tool refund\n", err: "" });
  const after = await run(status, folder);
  expect(after.out).toContain("7 targets\n");
  expect(after.code).toBe(0);
  expect(JSON.parse((await run(status, folder, { json: true })).out)).toMatchObject({
    running: true,
    ready: [],
  });
});

test("status needs a person while pins cannot be kept", async () => {
  const shelf = await serveShelf({}, listing({ tools: [{ name: "late", inputSchema: { type: "object" } }] }));
  closing.push(() => shelf.close());
  const { folder } = await runningBefore(shelf.url, "pins: {path: ./gone/pins.json}\n");
  const without = await run(status, folder);
  expect(without.out).toMatch(
    /\n {2}crm {2}live .* 1 refused, pins_unusable: pins cannot be written: ENOENT/,
  );
  expect(without.code).toBe(1);
  mkdirSync(join(folder, "gone"));
  await until("pins that are kept", async () => (await run(status, folder)).code === 0);
});

test("what a server calls itself and its targets does not steer the operator's terminal", async () => {
  const steering = "\u009b31m\u202e";
  const shelf = await serveShelf(
    {},
    listing({ tools: [{ name: `a${steering}`, inputSchema: { type: "object" } }] }),
  );
  closing.push(() => shelf.close());
  const { folder } = await runningBefore(shelf.url);
  for (const [command, options] of [
    [status, {}],
    [pin, { all: true }],
  ] as const) {
    const { out } = await run(command, folder, options);
    expect(out).toContain("tool a\ufffd31m\ufffd");
    expect(out).not.toMatch(/[\u009b\u202e]/);
  }
});

test("status prints the policies' present errors, and says that something needs a person", async () => {
  const { folder, gateway } = await running();
  await run(pin, folder, REFUND);
  writeFileSync(join(folder, "acme/authz.rego"), "package authz\n\ndeny contains");
  await gateway.gateway.reload();
  const { code, out } = await run(status, folder);
  expect(out).toContain("the present files are bad");
  expect(out).toContain("acme/authz.rego:3:");
  expect(code).toBe(1);
});

const MISTAKEN = `package authz

limit contains {"arguments": {"amount": {"maximum": most}}} if most := object.get(input.tenant, "most", "many")
`;

test("status needs a person while a policy's mistake closes a target, and no longer", async () => {
  const { folder, gateway } = await running();
  await run(pin, folder, REFUND);
  const listed = async () => {
    const secret = await gateway.gateway.token("ann", "support");
    const { body } = await ask(
      gateway.gateway.urlOf("support"),
      "tools/list",
      {},
      { token: secret.reveal() },
    );
    return ((body.result?.tools ?? []) as readonly unknown[]).length;
  };
  expect(await listed()).toBe(1);
  writeFileSync(join(folder, "acme/authz.rego"), MISTAKEN);
  await gateway.gateway.reload();
  expect(await listed()).toBe(0);
  const { code, out } = await run(status, folder);
  expect(out).toContain("crm: refund");
  expect(out).toMatch(/policy for acme: .*maximum must be a number/);
  expect(code).toBe(1);
  writeFileSync(join(folder, "acme/authz.rego"), OWN);
  await gateway.gateway.reload();
  expect(await listed()).toBe(1);
  expect((await run(status, folder)).code).toBe(0);
});

test.each(["audit", ".portcullis/state"])(
  "a gateway does not start where any user may write to %s",
  async (name) => {
    const folder = company({
      "portcullis.yaml": `${CONFIG}audit: {path: ./audit}\nstate: {path: ./.portcullis/state}\n`,
    });
    mkdirSync(join(folder, name), { recursive: true });
    chmodSync(join(folder, name), 0o777);
    const { around } = surroundings(folder);
    const loaded = await load({ config: "portcullis.yaml" }, around, { secrets: true });
    if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
    await expect(start(loaded.config, around)).rejects.toMatchObject({ code: "folder_exposed" });
  },
);

test("a gateway tells at its start of policies and pins that any user may write to", async () => {
  const folder = company({ "portcullis.yaml": `listen: {port: ${await ownPort()}}\n${CONFIG}` });
  const open = ["policies", "policies/authz.rego", "acme/authz.rego", "pins.json"];
  for (const path of open) chmodSync(join(folder, path), 0o777);
  const { around } = surroundings(folder);
  const told: unknown[] = [];
  const warn = (fields: object) => void ("setting" in fields && told.push(fields));
  const loaded = await load({ config: "portcullis.yaml" }, around, { secrets: true });
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
  const gateway = await start(loaded.config, { ...around, createLog: () => ({ ...silentLog, warn }) });
  closing.push(() => gateway.close());
  expect(told).toEqual([
    { setting: "policies.path", path: join(folder, "policies") },
    { setting: "policies.path", path: join(folder, "policies/authz.rego") },
    { setting: "tenants.acme.policies", path: join(folder, "acme/authz.rego") },
    { setting: "pins.path", path: join(folder, "pins.json") },
  ]);
});

test("status says what a policy is warned of; a tenant's layer that only narrows is warned of nothing", async () => {
  const { folder, gateway } = await running();
  writeFileSync(join(folder, "acme/authz.rego"), 'package authz\n\ndeny contains "no" if false\n');
  await gateway.gateway.reload();
  expect((await run(status, folder)).out).not.toContain("warning");
  writeFileSync(join(folder, "acme/authz.rego"), "package authz\n\nallow if false\n");
  await gateway.gateway.reload();
  const { out } = await run(status, folder);
  expect(out).toContain("1 warning\n");
  expect(out).toContain("acme/authz.rego:3:1: warning: rule_unasked:");
});

test("token prints a token that opens the guarded URL, and nothing else", async () => {
  const { folder, gateway } = await running();
  const { code, out, err } = await run(token, folder, { arguments: ["ann"] });
  expect({ code, err }).toEqual({ code: 0, err: "" });
  expect(out).toMatch(/^[\w-]+\.[\w-]+\.[\w-]+\n$/);
  const response = await fetch(gateway.gateway.urlOf("support"), {
    method: "POST",
    headers: {
      authorization: `Bearer ${out.trim()}`,
      "content-type": "application/json",
      accept: "application/json, text/event-stream",
    },
    body: JSON.stringify({
      jsonrpc: "2.0",
      id: 1,
      method: "initialize",
      params: { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "t", version: "1" } },
    }),
  });
  expect(response.status).toBe(200);
});

test("without a gateway: status says so, token too, and pin works on the file", async () => {
  const folder = company();
  const socket = join(folder, ".portcullis/state/control.sock");
  const missing = `no gateway is running with ${socket}`;
  expect(await run(status, folder)).toEqual({ code: 1, out: `${missing}\n`, err: "" });
  expect(await run(status, folder, { json: true })).toMatchObject({
    code: 1,
    out: '{\n  "running": false\n}\n',
  });
  expect(await run(token, folder, { arguments: ["ann"] })).toEqual({
    code: 2,
    out: "",
    err: `portcullis: ${missing}: start it with portcullis serve\n`,
  });
  expect(await run(pin, folder, REFUND)).toEqual({
    code: 1,
    out: "nothing waits for approval: crm: tool refund\n",
    err: "",
  });
});

test.each([
  [{ arguments: ["anm"] }, 'portcullis: there is no sample user "anm": did you mean "ann"?\n'],
  [
    { arguments: ["ann"], server: "suport" },
    'portcullis: there is no virtual server "suport": did you mean "support"?\n',
  ],
])("token with %j says what there is", async (options, err) => {
  expect(await run(token, company(), options)).toEqual({ code: 2, out: "", err });
});

test("the control socket is its owner's alone", async () => {
  const { folder } = await running();
  const socket = join(folder, ".portcullis/state/control.sock");
  expect(statSync(socket).mode & 0o777).toBe(0o600);
  expect(readFileSync(join(folder, "pins.json"), "utf8")).toContain('"pending"');
});
