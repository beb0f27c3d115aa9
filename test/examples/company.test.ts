import { readdirSync, readFileSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { Ajv2020 } from "ajv/dist/2020.js";
import { expect, test } from "vitest";
import { loadConfig } from "../../src/config/config.ts";
import { readDocument } from "../../src/config/document.ts";
import { configJsonSchema } from "../../src/config/schema.ts";
import { caseSchema } from "../../src/golden/case.ts";
import { ERRORS } from "../../src/lib/errors.ts";
import { shortly } from "../config/support.ts";

const ROOT = join(import.meta.dirname, "../..");
const EXAMPLE = join(ROOT, "examples/acme-and-globex");
const SCHEMA = join(ROOT, "examples/portcullis.schema.json");
const CASES = join(ROOT, "test/cases");

function yaml(path: string): unknown {
  const { value, problems } = readDocument(readFileSync(path, "utf8"), path);
  expect(problems).toEqual([]);
  return value;
}

test("the editors' schema is the one that configurations are checked by", () => {
  expect(JSON.parse(readFileSync(SCHEMA, "utf8"))).toEqual(configJsonSchema());
});

test("an editor accepts the example, and refuses a misspelt key in it", () => {
  const validate = new Ajv2020({ strict: false, validateFormats: false }).compile(configJsonSchema());
  const example = yaml(join(EXAMPLE, "portcullis.yaml")) as Record<string, unknown>;
  expect(validate(example) ? [] : validate.errors).toEqual([]);
  expect(validate({ ...example, limts: {} })).toBe(false);
});

test("the example company loads whole", async () => {
  const ajv = new Ajv2020({ strict: false });
  const loaded = await loadConfig(join(EXAMPLE, "portcullis.yaml"), {
    readFile: (path) => readFile(path, "utf8"),
    readDir: (path) => readdir(path),
    env: {},
    validateRecord: (schema, record) => {
      const validate = ajv.compile(schema);
      return validate(record)
        ? []
        : (validate.errors ?? []).map(({ message }) => ({ path: [], message: message ?? "" }));
    },
  });
  if (!loaded.ok) throw new Error(loaded.problems.map(shortly).join("\n"));
  const { config } = loaded;
  expect(Object.keys(config.upstreams)).toEqual(["desk", "everything", "files", "memory"]);
  expect(Object.keys(config.authorization_server?.users ?? {})).toEqual(["ann", "bob", "cho", "dee"]);
  expect(await config.tenants.ids()).toEqual(["acme", "globex"]);
  expect(await config.tenants.get("acme")).toMatchObject({
    value: {
      record: { id: "acme", refund_limit: 200, currency: "EUR" },
      policies: join(EXAMPLE, "tenants/acme/policies"),
    },
  });
  expect(await config.tenants.get("globex")).toMatchObject({
    value: {
      record: { id: "globex", refund_limit: 50, currency: "GBP" },
      policies: join(EXAMPLE, "tenants/globex/policies"),
    },
  });
});

test("every golden case has the shape of one, a name of its own, and a code that exists", () => {
  const validate = new Ajv2020({ validateFormats: false }).compile(caseSchema());
  const files = readdirSync(CASES).filter((file) => file.endsWith(".yaml"));
  const names = files.map((file) => {
    const golden = yaml(join(CASES, file)) as { name: string; want: { code: string } };
    expect(validate(golden) ? [] : [file, validate.errors]).toEqual([]);
    expect(["ok", ...Object.keys(ERRORS)], file).toContain(golden.want.code);
    return golden.name;
  });
  expect(names.length).toBeGreaterThan(25);
  expect(new Set(names).size).toBe(names.length);
});
