import { expect, test } from "vitest";
import { problemLines } from "../../src/commands/load.ts";
import { parseConfig } from "../../src/config/config.ts";
import { configJsonSchema } from "../../src/config/schema.ts";
import { isJsonObject, type Json, type JsonObject } from "../../src/lib/json.ts";
import { codes, readPage } from "./page.ts";

const page = readPage("configuration.md");
const keys = keysOf(configJsonSchema());

/** `upstreams.NAME.url` -> its default, or undefined. Keys of a mapping are NAME, items of a list `[]`. */
function keysOf(schema: Json | undefined, at = ""): ReadonlyMap<string, Json | undefined> {
  const found = new Map<string, Json | undefined>();
  if (!isJsonObject(schema)) return found;
  const add = (inner: Json | undefined, path: string): void => {
    for (const [key, value] of keysOf(inner, path)) found.set(key, found.get(key) ?? value);
  };
  for (const branch of [schema.anyOf, schema.oneOf].flat()) add(branch, at);
  for (const [key, inner] of Object.entries((schema.properties ?? {}) as JsonObject)) {
    const path = at === "" ? key : `${at}.${key}`;
    found.set(path, found.get(path) ?? (isJsonObject(inner) ? inner.default : undefined));
    add(inner, path);
  }
  if (isJsonObject(schema.additionalProperties)) add(schema.additionalProperties, `${at}.NAME`);
  add(schema.items, `${at}[]`);
  return found;
}
const rows = page.table("Key", "Default", "Meaning");
const said = new Map(rows.map(([key, value]) => [codes(key)[0] ?? "", codes(value)[0]]));

test("every key is on the page, and no other", () => {
  // A section whose keys each have a row needs none of its own.
  const known = [...keys].map(([key]) => key);
  const hasRows = (key: string) =>
    known.some((other) => other.startsWith(`${key}.`) || other.startsWith(`${key}[`));
  const inner = known.filter((key) => !hasRows(key));
  expect([...said.keys()].filter((key) => !keys.has(key))).toEqual([]);
  expect(inner.filter((key) => !said.has(key))).toEqual([]);
});

test("every default on the page is the real one", () => {
  for (const [key, value] of said)
    expect([key, value === undefined ? undefined : JSON.parse(value)]).toEqual([key, keys.get(key)]);
  expect(rows.filter(([, , meaning = ""]) => meaning === "")).toEqual([]);
});

test("the small configuration is accepted", () => {
  const [small] = page.blocks("yaml", "config");
  expect(parseConfig(small?.text ?? "", "/portcullis.yaml")).toMatchObject({ ok: true });
});

test("the wrong one gives the errors that are printed", () => {
  const [wrong] = page.blocks("yaml", "wrong");
  const parsed = parseConfig(wrong?.text ?? "", "/portcullis.yaml");
  const [printed] = page.blocks("text", "printed");
  expect(parsed.ok ? "" : problemLines(parsed.problems, "/")).toBe(printed?.text);
});
