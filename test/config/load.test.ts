import { expect, test } from "vitest";
import { openTenancy } from "../../src/compose/tenancy.ts";
import { type LoadOptions, loadConfig } from "../../src/config/config.ts";
import { MINIMAL, shortly } from "./support.ts";

const DIRECTORY = "/etc/portcullis";
const FILE = `${DIRECTORY}/portcullis.yaml`;

/** Files in memory, by their path below the configuration's folder. */
function options(files: Record<string, string>, more: Partial<LoadOptions> = {}): LoadOptions {
  const find = (path: string): string => {
    const text = files[path.slice(DIRECTORY.length + 1)];
    if (text === undefined) throw new Error("ENOENT");
    return text;
  };
  return {
    readFile: async (path) => find(path),
    readDir: async (path) => {
      const folder = `${path.slice(DIRECTORY.length + 1)}/`;
      return Object.keys(files)
        .filter((name) => name.startsWith(folder))
        .map((name) => name.slice(folder.length));
    },
    validateRecord: () => [],
    ...more,
  };
}

async function problems(files: Record<string, string>, more: Partial<LoadOptions> = {}): Promise<string[]> {
  const loaded = await loadConfig(FILE, options(files, more));
  return loaded.ok
    ? []
    : loaded.problems.map((one) => `${one.file.slice(DIRECTORY.length + 1)}:${shortly(one)}`);
}

async function load(files: Record<string, string>) {
  const loaded = await loadConfig(FILE, options(files));
  if (!loaded.ok) throw new Error(loaded.problems.map(shortly).join("\n"));
  return loaded.config;
}

test("a configuration that is not there is a problem, not a crash", async () => {
  expect(await problems({})).toEqual([
    "portcullis.yaml:0:0 file_unreadable cannot be read: ENOENT (name the configuration with -c FILE)",
  ]);
});

test("what the configuration names is read: records, users, attributes, the record's schema", async () => {
  const text = MINIMAL.replace(
    "acme: {record: {}, servers: [support]}",
    "acme: {record: ./acme.yaml, servers: [support], attributes: ./people.yaml, policies: ./acme}",
  ).replace("{path: ./policies}", "{path: ./policies, tenant_schema: ./record.json}");
  const config = await load({
    "portcullis.yaml": `${text}authorization_server: {users: ./users.yaml}\n`,
    "acme.yaml": "limit: 200\n",
    "people.yaml": '"https://idp.example": {ann: {region: eu}}\n',
    "users.yaml": "ann: {tenant: acme, roles: [support]}\n",
    "record.json": '{"type": "object"}',
  });
  expect(config.policies).toEqual({ path: "/etc/portcullis/policies", tenant_schema: { type: "object" } });
  expect(config.authorization_server).toEqual({ users: { ann: { tenant: "acme", roles: ["support"] } } });
  expect(await config.tenants.get("acme")).toEqual({
    ok: true,
    value: {
      id: "acme",
      record: { id: "acme", limit: 200 },
      policies: "/etc/portcullis/acme",
      servers: ["support"],
      credentials: {},
      attributes: { "https://idp.example": { ann: { region: "eu" } } },
    },
  });
});

test("attributes are a principal's own: of its issuer and tenant, and none that every object inherits", async () => {
  const config = await load({
    "portcullis.yaml": MINIMAL.replace(
      "servers: [support]}",
      "servers: [support], attributes: ./people.yaml}",
    ),
    "people.yaml": '"https://idp.example": {ann: {region: eu}}\n',
  });
  const { directory } = await openTenancy(config);
  const of = (issuer: string, subject: string, tenant: string) =>
    directory.attributes(issuer, subject, tenant);
  expect(of("https://idp.example", "ann", "acme")).toEqual({ region: "eu" });
  for (const subject of ["constructor", "toString", "hasOwnProperty", "bob"])
    expect(of("https://idp.example", subject, "acme")).toEqual({});
  expect(of("constructor", "name", "acme")).toEqual({});
  expect(of("https://other.example", "ann", "acme")).toEqual({});
  expect(of("https://idp.example", "ann", "globex")).toEqual({});
});

test("the same tenant is the same object, so that a cache can tell that nothing changed", async () => {
  const { tenants } = await load({ "portcullis.yaml": MINIMAL });
  expect(await tenants.get("acme")).toBe(await tenants.get("acme"));
});

test("a file that cannot be read is told where it is named", async () => {
  const text = MINIMAL.replace("{record: {}", "{record: ./gone.yaml").replace(
    "./policies}",
    "./policies, tenant_schema: ./gone.json}",
  );
  expect(await problems({ "portcullis.yaml": text })).toEqual([
    "portcullis.yaml:7:45 file_unreadable /etc/portcullis/gone.json cannot be read: ENOENT",
    "portcullis.yaml:9:18 file_unreadable /etc/portcullis/gone.yaml cannot be read: ENOENT",
  ]);
});

test("a record that its schema refuses is told at the value, in the record's own file", async () => {
  const text = MINIMAL.replace("{record: {}", "{record: ./acme.yaml").replace(
    "./policies}",
    "./policies, tenant_schema: ./record.json}",
  );
  const files = {
    "portcullis.yaml": text,
    "acme.yaml": "name: Acme\nlimits:\n  refund: lots\n",
    "record.json": "{}",
  };
  const validateRecord = () => [{ path: ["limits", "refund"], message: "must be number" }];
  expect(await problems(files, { validateRecord })).toEqual(["acme.yaml:3:11 record_invalid must be number"]);
});

test("a record of another tenant is refused", async () => {
  const text = MINIMAL.replace("{record: {}", "{record: {id: globex}");
  expect(await problems({ "portcullis.yaml": text })).toEqual([
    'portcullis.yaml:9:23 record_invalid this record is not "acme"\'s',
  ]);
});

test("users of a tenant that does not exist are told in their own file", async () => {
  const files = {
    "portcullis.yaml": `${MINIMAL}authorization_server: {users: ./users.yaml}\n`,
    "users.yaml": "ann: {tenant: acme}\nbob: {tenant: acne, rolls: []}\n",
  };
  expect(await problems(files)).toEqual([
    'users.yaml:2:15 unknown_reference there is no tenant "acne" (did you mean "acme"?)',
    'users.yaml:2:21 unknown_key unknown key "rolls" (did you mean "roles"?)',
  ]);
});

const FOLDER = MINIMAL.replace("  acme: {record: {}, servers: [support]}", "  path: ./tenants");

test("of a folder of tenants only those that are asked for are read", async () => {
  const read: string[] = [];
  const files: Record<string, string> = { "portcullis.yaml": FOLDER };
  for (let index = 0; index < 10_000; index++)
    files[`tenants/t${index}.yaml`] = "{record: {}, servers: [support]}";
  const base = options(files);
  const loaded = await loadConfig(FILE, {
    ...base,
    readFile: (path) => {
      read.push(path);
      return base.readFile(path);
    },
  });
  if (!loaded.ok) throw new Error("not loaded");
  expect(await loaded.config.tenants.get("t77")).toMatchObject({ ok: true, value: { id: "t77" } });
  expect(new Set(read)).toEqual(new Set([FILE, `${DIRECTORY}/tenants/t77.yaml`]));
  expect(await loaded.config.tenants.ids()).toHaveLength(10_000);
});

test("a file among the tenants that is named like none is told: nobody else would know why they are unknown", async () => {
  const { tenants } = await load({
    "portcullis.yaml": FOLDER,
    "tenants/acme.yaml": "{record: {}, servers: [support]}",
    "tenants/Globex.yaml": "{record: {}, servers: [support]}",
    "tenants/initech.yml": "{record: {}, servers: [support]}",
    "tenants/.acme.yaml": "",
    "tenants/README.md": "",
  });
  expect(await tenants.ids()).toEqual(["Globex", "acme", "initech.yml"]);
  for (const [id, file] of [
    ["Globex", "Globex.yaml"],
    ["initech.yml", "initech.yml"],
  ] as const)
    expect(await tenants.get(id)).toMatchObject({
      ok: false,
      problems: [{ code: "invalid_value", file: `${DIRECTORY}/tenants/${file}`, row: 0 }],
    });
  expect(await tenants.get("acme")).toMatchObject({ ok: true });
  expect(await tenants.get("initech")).toEqual({ ok: false, problems: [] });
});

test("an id from a token names no file outside the folder", async () => {
  const files = {
    "portcullis.yaml": FOLDER,
    "secret.yaml": "{record: {}, servers: []}",
    "tenants/a.yaml": "{}",
  };
  const { tenants } = await load(files);
  for (const id of [
    "../secret",
    "a/../../secret",
    "",
    ".",
    "A",
    "a\u0000",
    "unknown",
    "__proto__",
    "constructor",
  ]) {
    expect(await tenants.get(id), id).toEqual({ ok: false, problems: [] });
  }
  const inline = await load({ "portcullis.yaml": MINIMAL });
  expect(await inline.tenants.get("__proto__")).toEqual({ ok: false, problems: [] });
});

test("a tenant's own file is checked as strictly, against the whole", async () => {
  const tenant = "record: {}\nservers: [suport]\ncredentials: {c: {roles: [x]}}\nplicies: ./p\n";
  const text = `${FOLDER}credentials: {c: {type: signed-jwt, audience: a, upstreams: [crm]}}\n`;
  const { tenants } = await load({ "portcullis.yaml": text, "tenants/acme.yaml": tenant });
  const found = await tenants.get("acme");
  expect(found.ok ? [] : found.problems.map(shortly)).toEqual([
    '2:11 unknown_reference there is no virtual server "suport" (did you mean "support"?)',
    '4:1 unknown_key unknown key "plicies" (did you mean "policies"?)',
  ]);
});

const WITH_TOKEN = MINIMAL.replace(
  '{url: "http://127.0.0.1:9001/mcp"}',
  '{command: [node, x.js], env: {A_TOKEN: "env:A_TOKEN", B_KEY: "file:./key", DATA: "path:./data"}}',
);

test("with an environment, secrets that are missing are told before anything starts", async () => {
  expect(await problems({ "portcullis.yaml": WITH_TOKEN })).toEqual([]);
  expect(await problems({ "portcullis.yaml": WITH_TOKEN }, { env: {} })).toEqual([
    "portcullis.yaml:4:47 secret_missing environment variable A_TOKEN is not set or empty",
    "portcullis.yaml:4:69 secret_missing the secret file /etc/portcullis/key cannot be read: ENOENT",
  ]);
});

test("a sample secret is refused outside of a demonstration", async () => {
  const files = { "portcullis.yaml": WITH_TOKEN, key: "changeme\n" };
  expect(await problems(files, { env: { A_TOKEN: "s3cr3t-of-ours" } })).toEqual([]);
  files["portcullis.yaml"] += 'listen: {public_url: "https://mcp.example"}\n';
  expect(await problems(files, { env: { A_TOKEN: "s3cr3t-of-ours" } })).toEqual([
    "portcullis.yaml:4:69 insecure file /etc/portcullis/key holds a sample secret that everyone knows",
  ]);
});

test("an upstream's environment keeps references as references and makes paths absolute", async () => {
  const { upstreams } = await load({ "portcullis.yaml": WITH_TOKEN });
  expect(upstreams.crm).toMatchObject({
    transport: "stdio",
    command: ["node", "x.js"],
    cwd: DIRECTORY,
    env: {
      A_TOKEN: { kind: "env", name: "A_TOKEN" },
      B_KEY: { kind: "file", path: "/etc/portcullis/key" },
      DATA: "/etc/portcullis/data",
    },
  });
});
