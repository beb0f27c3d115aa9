import { randomBytes } from "node:crypto";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { afterAll, beforeAll, expect, test } from "vitest";
import { readLog } from "../../src/audit/read.ts";
import { type AccountsOptions, accounts } from "../../src/commands/accounts.ts";
import { type Running, start } from "../../src/commands/serve.ts";
import { load } from "../../src/compose/load.ts";
import { linkAt } from "../accounts/browser.ts";
import { aThirdParty, SECRET, type ThirdParty } from "../accounts/third-party.ts";
import { type Spy, serveSpy, text, tool } from "../e2e/upstreams.ts";
import { callTool, textBelow, until, writeWorld } from "../e2e/world.ts";
import { ownPort } from "../support/port.ts";
import { company } from "./company.ts";
import { surroundings } from "./world.ts";

const POLICY = `package authz

grant contains {"reason": "with their own account", "credential": {"source": "hub"}} if input.target.upstream == "spy"
`;
const env = { MASTER_KEY: randomBytes(32).toString("base64"), HUB_SECRET: SECRET };

let folder: string;
let running: Running;
let hub: ThirdParty;
let spy: Spy;

beforeAll(async () => {
  const port = await ownPort();
  const origin = `http://127.0.0.1:${port}`;
  hub = await aThirdParty([`${origin}/accounts/callback/hub`]);
  spy = await serveSpy({ tools: () => [tool("read")], call: () => text("read") });
  const given = { record: {}, servers: ["main"], credentials: { hub: {} } };
  const scopes = ["openid", "offline_access", "read"];
  const client = { issuer: hub.issuer, client_id: "gateway", client_secret: "env:HUB_SECRET", scopes };
  const { directory } = await writeWorld({
    config: {
      upstreams: { spy: { url: spy.url, era: "legacy" } },
      servers: { main: { upstreams: ["spy"] } },
      credentials: { hub: { type: "connected-account", account: "hub", upstreams: ["spy"] } },
      accounts: { master_key: "env:MASTER_KEY", providers: { hub: { ...client, title: "Hub" } } },
      tenants: { acme: given, globex: given },
    },
    listen: { port, public_url: origin },
    policies: POLICY,
  });
  folder = directory;
  const { around } = surroundings(folder, { env });
  const loaded = await load({ config: "portcullis.yaml" }, around, { secrets: true });
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
  running = await start(loaded.config, around);
});
afterAll(async () => {
  await running?.close();
  await Promise.all([spy?.close(), hub?.close()]);
  rmSync(folder, { recursive: true, force: true });
});

async function call(user: string): Promise<string> {
  const { gateway } = running;
  const token = (await gateway.token(user, "main")).reveal();
  const { body } = await callTool(gateway.urlOf("main"), "read", {}, { token });
  const [asked] = (body.error?.data.elicitations ?? []) as unknown as readonly { readonly url: string }[];
  return asked?.url ?? body.error?.data.code ?? "read";
}

/** Links this user's account, and has a lease that hangs on it. */
async function link(user: string): Promise<void> {
  expect(await linkAt(await call(user), user)).toBe(200);
  expect(await call(user)).toBe("read");
}

async function run(args: readonly string[], options: Partial<AccountsOptions> = {}, typed?: string) {
  const { around, printed } = surroundings(folder, { env });
  const stdin = Object.assign(new PassThrough(), { isTTY: typed !== undefined });
  if (typed !== undefined) stdin.write(typed);
  const given = { config: "portcullis.yaml", arguments: args, ...options };
  return { code: await accounts(given, { ...around, stdin }), ...printed };
}

async function records(phase: string) {
  const all: object[] = [];
  for await (const record of readLog(join(folder, "log"))) if (record.phase === phase) all.push(record);
  return all as readonly Record<string, unknown>[];
}

/** Whose leases ended with this reason: the last of them. */
const ended = (subject: string) =>
  until(`the end of ${subject}'s lease`, async () =>
    (await records("lease")).find(
      (one) => one.subject === subject && one.reason === "the account was unlinked",
    ),
  );

test("list shows a tenant's links without a secret, of all or of one user", async () => {
  await link("ann");
  await link("bob");
  const { out, ...rest } = await run(["list"], { tenant: "acme" });
  expect(rest).toEqual({ code: 0, err: "" });
  const row = (user: string) =>
    `${user}  hub  linked  since 20\\S+Z  refreshed 20\\S+Z  http://127\\.0\\.0\\.1:\\d+/oauth  openid read\\n`;
  expect(out).toMatch(new RegExp(`^${row("ann")}${row("bob")}$`));
  const { out: one } = await run(["list"], { tenant: "acme", subject: "bob", json: true });
  expect(JSON.parse(one).accounts.map(({ subject }: { subject: string }) => subject)).toEqual(["bob"]);
  expect(await run(["list"], { tenant: "globex" })).toEqual({ code: 0, out: "", err: "" });
  const sent = spy.calls().map(({ headers }) => headers.authorization?.replace("Bearer ", "") ?? "");
  expect(sent.length).toBeGreaterThan(1);
  for (const secret of [...sent, SECRET]) expect(out + one).not.toContain(secret);
});

test("unlink ends one user's link, tells the third party, revokes what hung on it, and is recorded", async () => {
  const token = spy.calls().find(({ headers }) => headers.authorization)?.headers.authorization;
  expect(await run(["unlink", "hubb"], { tenant: "acme", subject: "ann" })).toEqual({
    code: 1,
    out: 'not linked: hubb of ann at acme, did you mean "hub"?\n',
    err: "",
  });
  const done = await run(["unlink", "hub"], { tenant: "acme", subject: "ann", reason: "left the company" });
  expect(done).toEqual({ code: 0, out: "unlinked: hub of ann at acme\n", err: "" });
  expect(await hub.accepts(token?.replace("Bearer ", "") ?? "")).toBe(false);
  expect(await ended("ann")).toMatchObject({ tenant: "acme", source: "hub" });
  expect(await call("ann")).toContain("/accounts/link/");
  expect(await call("bob")).toBe("read");
  expect((await records("operator")).at(-1)).toMatchObject({
    action: "accounts/unlink",
    tenant: "acme",
    subject: "ann",
    account: "hub",
    reason: "left the company",
    by: "ann",
  });
  expect(await run(["unlink", "hub"], { tenant: "acme", subject: "ann" })).toMatchObject({
    code: 1,
    out: "not linked: hub of ann at acme\n",
  });
});

test("shred asks for the tenant's id; then its links are gone for good, another tenant's are not", async () => {
  await link("ann");
  await link("dee");
  const refused = "portcullis: nothing was shredded: type the tenant's id, or give --yes\n";
  expect(await run(["shred"], { tenant: "acme" })).toEqual({ code: 2, out: "", err: refused });
  expect(await run(["shred"], { tenant: "acme" }, "y\n")).toMatchObject({
    code: 2,
    err: expect.stringContaining(refused),
  });
  expect(await call("ann")).toBe("read");
  const { code, out, err } = await run(["shred"], { tenant: "acme", reason: "contract ended" }, "acme\n");
  expect({ code, out }).toEqual({
    code: 0,
    out: `shredded: the key of acme
2 connected accounts can no longer be read here
still readable: backups and log archives of the database from before, by whoever has accounts.master_key
third parties were not told: what they granted ends there, or by itself
`,
  });
  expect(err).toContain("can never be read again here;\nstill readable: backups");
  await ended("bob");
  expect(await call("bob")).toContain("/accounts/link/");
  expect(await call("dee")).toBe("read");
  expect((await records("operator")).at(-1)).toMatchObject({
    action: "accounts/shred",
    tenant: "acme",
    reason: "contract ended",
    by: "ann",
  });
  const again = await run(["shred"], { tenant: "acme", yes: true, json: true });
  expect([again.code, JSON.parse(again.out)]).toEqual([0, { tenant: "acme", links: 0, keeper: "database" }]);
  expect(textBelow(join(folder, "log"))).not.toContain(SECRET);
});

test.each<[readonly string[], Partial<AccountsOptions>, string]>([
  [["list"], {}, "portcullis: accounts list --tenant ID [--subject S]\n"],
  [
    ["unlink", "hub"],
    { tenant: "acme" },
    "portcullis: accounts unlink --tenant ID [--issuer URL] --subject S ACCOUNT [--reason TEXT]\n",
  ],
  [["shred", "acme"], { tenant: "acme" }, "portcullis: accounts shred --tenant ID [--yes] [--reason TEXT]\n"],
  [
    ["shred"],
    { tenant: "acmee", yes: true },
    'portcullis: there is no tenant "acmee", did you mean "acme"?\n',
  ],
  [["list"], { tenant: "acmee" }, 'portcullis: there is no tenant "acmee", did you mean "acme"?\n'],
])("accounts %j %j says what is wrong", async (args, options, err) => {
  expect(await run(args, options)).toEqual({ code: 2, out: "", err });
});

test("an unknown verb is told what there is, and a gateway that is not running is said", async () => {
  expect((await run(["drop"], { tenant: "acme" })).err.split("\n")).toHaveLength(4);
  const { around, printed } = surroundings(company());
  const code = await accounts({ config: "portcullis.yaml", arguments: ["list"], tenant: "acme" }, around);
  expect([code, printed.err]).toEqual([2, expect.stringContaining("no gateway is running")]);
});
