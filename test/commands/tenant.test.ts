import { afterEach, expect, test } from "vitest";
import { start } from "../../src/commands/serve.ts";
import { status } from "../../src/commands/status.ts";
import { type TenantOptions, tenant } from "../../src/commands/tenant.ts";
import { load } from "../../src/compose/load.ts";
import { ownPort } from "../support/port.ts";
import { CONFIG, company } from "./company.ts";
import { surroundings } from "./world.ts";

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

async function running(): Promise<string> {
  const folder = company({
    "portcullis.yaml": `listen: {port: ${await ownPort()}}\n${CONFIG}  globex: {record: {}, servers: [support]}\n`,
  });
  const { around } = surroundings(folder);
  const loaded = await load({ config: "portcullis.yaml" }, around, { secrets: true });
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
  const gateway = await start(loaded.config, around);
  closing.push(() => gateway.close());
  return folder;
}

async function run(folder: string, args: readonly string[], options: Partial<TenantOptions> = {}, env = {}) {
  const { around, printed } = surroundings(folder, { env });
  const code = await tenant({ config: "portcullis.yaml", arguments: args, ...options }, around);
  return { code, ...printed };
}

test("suspend holds until resume; list and status say since when, by whom and why", async () => {
  const folder = await running();
  expect(await run(folder, ["list"])).toEqual({ code: 0, out: "acme\nglobex\n", err: "" });
  const told = await run(folder, ["suspend", "acme"], { reason: "a stolen token" });
  expect(told).toEqual({ code: 0, out: "suspended: acme\n", err: "" });
  const listed = await run(folder, ["list"]);
  expect(listed.out).toMatch(/^acme {4}suspended {2}since 20\S+Z {2}by ann {2}a stolen token\nglobex\n$/);
  expect(listed.code).toBe(1);
  const { around, printed } = surroundings(folder);
  await status({ config: "portcullis.yaml" }, around);
  expect(printed.out).toMatch(
    /\nsuspended\n {2}acme {2}since 20\S+Z {2}by ann {2}a stolen token\npolicies\n/,
  );
  expect(await run(folder, ["resume", "acme"])).toEqual({ code: 0, out: "served again: acme\n", err: "" });
  expect(await run(folder, ["resume", "acme"])).toEqual({ code: 1, out: "not suspended: acme\n", err: "" });
  expect(await run(folder, ["list"])).toMatchObject({ code: 0 });
});

test("as JSON, and behind sudo by the name of who typed it", async () => {
  const folder = await running();
  const { out } = await run(folder, ["suspend", "globex"], { json: true }, { SUDO_USER: "mia" });
  expect(JSON.parse(out)).toEqual({ tenant: "globex", suspended: true, told: true, was: null });
  expect(JSON.parse((await run(folder, ["list"], { json: true })).out)).toMatchObject({
    tenants: [
      { tenant: "acme", suspension: null },
      { tenant: "globex", suspension: { by: "mia as ann", reason: "", lifted: false } },
    ],
  });
});

const USAGE =
  "portcullis: tenant suspend ID [--reason TEXT], tenant resume ID [--reason TEXT] or tenant list\n";
test.each<[readonly string[], Partial<TenantOptions>, string]>([
  [["suspend"], {}, USAGE],
  [["list", "acme"], {}, USAGE],
  [["list"], { reason: "x" }, USAGE],
  [["stop", "acme"], {}, USAGE],
  [["suspend", "acmee"], {}, 'portcullis: there is no tenant "acmee", did you mean "acme"?\n'],
  [["resume", "initech"], {}, 'portcullis: there is no tenant "initech"\n'],
  [
    ["suspend", "acme"],
    { reason: "two\nlines" },
    "portcullis: a reason is one line of at most 256 characters\n",
  ],
])("tenant %j %j says what is wrong, and suspends nobody", async (args, options, err) => {
  const folder = await running();
  expect(await run(folder, args, options)).toEqual({ code: 2, out: "", err });
  expect(await run(folder, ["list"])).toMatchObject({ code: 0 });
});

test("without a gateway it says so", async () => {
  const { code, err } = await run(company(), ["suspend", "acme"]);
  expect([code, err]).toEqual([
    2,
    expect.stringMatching(/^portcullis: no gateway is running with .*: start it/),
  ]);
});
