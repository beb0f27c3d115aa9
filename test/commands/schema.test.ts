import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Ajv2020 } from "ajv/dist/2020.js";
import { afterAll, expect, test } from "vitest";
import { inputOf } from "../../src/commands/eval-input.ts";
import { readLayers } from "../../src/commands/layers.ts";
import { schema } from "../../src/commands/schema.ts";
import { readDocument } from "../../src/config/document.ts";
import type { DecisionLog } from "../../src/domain.ts";
import { isJsonObject, type Json, type JsonObject } from "../../src/lib/json.ts";
import { createToolchain } from "../../src/policy/toolchain.ts";
import { decisionOf, openLog, scratch } from "../audit/support.ts";
import { COMPANY, exampleConfig, ROOT, surroundings } from "./world.ts";

const toolchain = createToolchain();
afterAll(() => toolchain.close());

async function printed(...names: readonly string[]) {
  const { around, printed } = surroundings(COMPANY);
  const code = await schema({ config: "portcullis.yaml", arguments: names }, around);
  return { code, ...printed };
}

async function validator(name: string) {
  const { out } = await printed(name);
  const validate = new Ajv2020({ strict: false, validateFormats: false }).compile(JSON.parse(out));
  return (value: unknown) => (validate(value) ? [] : (validate.errors ?? []));
}

test("schema without a name lists them; an unknown one is an error", async () => {
  expect(await printed()).toMatchObject({
    code: 0,
    out: expect.stringMatching(/^config {2}portcullis.yaml\ninput {3}/),
  });
  expect(await printed("grants")).toEqual({
    code: 2,
    out: "",
    err: 'portcullis: there is no schema "grants": config, input, grant, limit, record, case\n',
  });
});

test("config: the example fits", async () => {
  const file = join(COMPANY, "portcullis.yaml");
  expect((await validator("config"))(readDocument(readFileSync(file, "utf8"), file).value)).toEqual([]);
});

test("case: every golden case fits", async () => {
  const validate = await validator("case");
  const folder = join(ROOT, "test/cases");
  for (const name of readdirSync(folder).filter((name) => name.endsWith(".yaml")))
    expect(validate(readDocument(readFileSync(join(folder, name), "utf8"), name).value), name).toEqual([]);
});

const ASKED = [
  ["bob", "desk:refund"],
  ["cho", "desk:list_tickets"],
  ["cho", "desk:close_ticket"],
  ["ann", "files:read_multiple_files"],
  ["bob", "memory:create_entities"],
] as const;

test("input, grant and limit: what the example's users ask, and what its policies answer, fits", async () => {
  const config = await exampleConfig();
  const { layers } = await readLayers(config);
  const [input, grant, limit] = await Promise.all([
    validator("input"),
    validator("grant"),
    validator("limit"),
  ]);
  let grants = 0;
  for (const [user, target] of ASKED) {
    const asked = await inputOf({ user, target }, config, surroundings(COMPANY).around);
    expect(input(asked)).toEqual([]);
    for (const { sources } of layers) {
      const evaluated = await toolchain.eval(sources, { input: asked });
      const value: Json = evaluated.ok ? (evaluated.report.results[0]?.value ?? null) : null;
      const answer = (isJsonObject(value) ? value : {}) as { grants: JsonObject[]; limits: JsonObject[] };
      for (const one of answer.grants) expect(grant(one)).toEqual([]);
      for (const one of answer.limits) expect(limit(one)).toEqual([]);
      grants += answer.grants.length;
    }
  }
  expect(grants).toBeGreaterThanOrEqual(6);
});

test.each([
  ["grant", { reason: "x", argumnts: {} }],
  ["grant", { reason: "x", arguments: { amount: { maximun: 5 } } }],
  ["limit", { reason: "x" }],
  ["input", {}],
  ["case", { name: "x" }],
  ["record", { v: 1 }],
])("%s: %j does not fit", async (name, value) => {
  expect((await validator(name))(value).length).toBeGreaterThan(0);
});

async function linesOf(write: (log: DecisionLog) => Promise<void>): Promise<unknown[]> {
  const path = scratch();
  const log = await openLog(path);
  await write(log);
  await log.close();
  const text = readdirSync(path)
    .filter((name) => name.endsWith(".jsonl"))
    .map((name) => readFileSync(join(path, name), "utf8"))
    .join("");
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line));
}

test("record: every line of a real decision log fits, its segment's first line included", async () => {
  const validate = await validator("record");
  const lines = await linesOf(async (log) => {
    const id = log.newId();
    await log.decision(id, decisionOf());
    log.outcome({
      phase: "outcome",
      decision: id,
      status: "ok",
      is_error: false,
      ms: 1.5,
      bytes: 12,
      lease_sha256: null,
    });
    await log.operator({
      phase: "operator",
      action: "tenant/suspend",
      tenant: "acme",
      reason: "",
      by: "ann",
    });
    const listed = { listed: 2, of: 3, targets_sha256: "0".repeat(64), target: null, arguments: null };
    await log.decision(log.newId(), decisionOf({ ...listed, arguments_sha256: "" }));
    await log.decision(
      log.newId(),
      decisionOf({ effect: "deny", code: "token_missing", principal: null, count: 7 }),
    );
  });
  expect(lines.map((line) => (isJsonObject(line) ? line.phase : ""))).toEqual([
    "segment",
    "decision",
    "outcome",
    "operator",
    "decision",
    "decision",
  ]);
  for (const line of lines) expect(validate(line)).toEqual([]);
});
