import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { Ajv2020 } from "ajv/dist/2020.js";
import { expect, onTestFinished, test } from "vitest";
import { recordSchema } from "../../src/audit/record-schema.ts";
import { ERRORS } from "../../src/lib/errors.ts";
import { createMetrics } from "../../src/operation/metrics.ts";
import { ownPort } from "../support/port.ts";
import { ROOT, readPage } from "./page.ts";

const page = readPage("operation.md");

test("the records on the page are records", () => {
  const validate = new Ajv2020({ strict: false, validateFormats: false }).compile(recordSchema());
  const records = page.blocks("json", "record").map(({ text }) => JSON.parse(text));
  expect(records.map(({ phase }) => phase)).toEqual(["decision", "outcome", "input", "operator"]);
  for (const record of records) expect(validate(record) ? [] : validate.errors).toEqual([]);
  expect(records[1].decision).toBe(records[0].id);
});

const jq = spawnSync("jq", ["--version"]).status === 0;

test.skipIf(!jq)("the page's questions of the log are answered from the page's records", () => {
  const folder = mkdtempSync(join(tmpdir(), "docs-log-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  mkdirSync(join(folder, "log"));
  const lines = page.blocks("json", "record").map(({ text }) => JSON.stringify(JSON.parse(text)));
  writeFileSync(join(folder, "log/000000000001.jsonl"), `${lines.join("\n")}\n`);
  const [recipes] = page.blocks("sh", "recipes");
  const answers = (recipes?.text.trim().split("\n\n") ?? []).map((recipe) => {
    const { stdout, stderr } = spawnSync("bash", ["-c", recipe], { cwd: folder, encoding: "utf8" });
    return stderr + stdout.replaceAll(/"20[^"]*Z"/g, '"…"');
  });
  const reason = "support refunds within its company's limit";
  const sent = '{"ticket":"ACME-1","amount":90,"currency":"EUR","iban":"DE02120300000000202051"}';
  expect(answers).toEqual([
    "",
    `["…","refund","allow","${reason}","ok","ok"]\n`,
    `["…","ann","acme","allow","ok",${sent}]\n`,
    "",
    '["…","root","tenant/suspend","acme","stolen laptop, incident 4711"]\n',
  ]);
});

test("the metrics on the page are series of the gateway", async () => {
  const metrics = createMetrics();
  metrics.decided("support", "tools/list", "ok");
  metrics.forwarded("desk", "ok", 0.02);
  metrics.sessions(() => 4);
  const shape = (line: string) => line.replace(/[\d.]+$/, "").replaceAll(/"[^"]*"/g, '""');
  const real = new Set((await metrics.text()).split("\n").map(shape));
  const shown = page.blocks("metrics").flatMap(({ text }) => text.trim().split("\n"));
  expect(shown.length).toBeGreaterThan(3);
  expect(shown.filter((line) => !real.has(shape(line)))).toEqual([]);
});

test("what to alert on exists", () => {
  const [, named = ""] = /on `code` of ([^.]*?), and on/s.exec(page.text) ?? [];
  const codes = [...named.matchAll(/`([a-z_]+)`/g)].map(([, code]) => code);
  expect(codes.length).toBeGreaterThan(3);
  expect(codes.filter((code) => !Object.hasOwn(ERRORS, code ?? ""))).toEqual([]);
});

test("the Express app on the page serves the guarded URL and its own page, and ends at SIGTERM", async () => {
  const folder = mkdtempSync(join(tmpdir(), "docs-embed-"));
  const port = await ownPort();
  const app = await embed(folder, port);
  const ended = once(app, "exit");
  try {
    for await (const line of createInterface({ input: app.stdout }))
      if (line === `listening on ${port}`) break;
    const origin = `http://127.0.0.1:${port}`;
    expect(await (await fetch(origin)).text()).toBe("my own page");
    expect(await (await fetch(`${origin}/readyz`)).json()).toEqual({ ok: true, reasons: [] });
    const refused = await fetch(`${origin}/mcp/support`, {
      method: "POST",
      headers: { "content-type": "application/json", accept: "application/json, text/event-stream" },
      body: '{"jsonrpc":"2.0","id":1,"method":"tools/list"}',
    });
    expect(refused.status).toBe(401);
    expect(await refused.json()).toMatchObject({ error: { data: { code: "token_missing" } } });
    app.kill("SIGTERM");
    expect(await ended).toEqual([0, null]);
  } finally {
    app.kill("SIGKILL");
    rmSync(folder, { recursive: true });
  }
});

/** The page's app in a folder where `portcullis` is an installed package. */
async function embed(folder: string, port: number) {
  const [snippet] = page.blocks("js", "app.mjs");
  writeFileSync(join(folder, "app.mjs"), snippet?.text ?? "");
  writeFileSync(join(folder, "portcullis.yaml"), configuration(port));
  mkdirSync(join(folder, "policies"));
  writeFileSync(join(folder, "policies/all.rego"), 'package authz\n\ngrant contains {"reason": "anyone"}\n');
  mkdirSync(join(folder, "node_modules"));
  symlinkSync(ROOT, join(folder, "node_modules/portcullis"));
  for (const name of ["express", "pino"])
    symlinkSync(join(ROOT, "node_modules", name), join(folder, "node_modules", name));
  return spawn(process.execPath, ["app.mjs"], { cwd: folder, stdio: ["ignore", "pipe", "inherit"] });
}

function configuration(port: number): string {
  return `
listen: { host: 127.0.0.1, port: ${port} }
authorization_server: { users: { ann: { tenant: acme } } }
upstreams: { memory: { command: [node, ${join(ROOT, "node_modules/@modelcontextprotocol/server-memory/dist/index.js")}] } }
servers: { support: { upstreams: [memory] } }
policies: { path: ./policies }
tenants: { acme: { record: {}, servers: [support] } }
`;
}
