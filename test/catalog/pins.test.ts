import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { pinFileText } from "../../src/catalog/pin-file.ts";
import { createFilePins } from "../../src/catalog/pins.ts";
import { sha256 } from "../../src/lib/json.ts";
import { catalogOf, fixture, page, tool } from "./fixture.ts";

const folder = mkdtempSync(join(tmpdir(), "portcullis-pins-"));
afterAll(() => rmSync(folder, { recursive: true }));

function pin(name: string, definition: string, pending: string | null = null) {
  const waiting = pending === null ? null : { digest: sha256(pending), definition: pending };
  return {
    upstream: "a",
    kind: "tool" as const,
    name,
    digest: sha256(definition),
    definition,
    pending: waiting,
  };
}

test("pins outlive the process, in a file that only its owner reads", () => {
  const path = join(folder, "outlive.json");
  createFilePins(path).put([pin("x", "{}"), pin("y", "{}")]);
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(createFilePins(path).list()).toEqual([pin("x", "{}"), pin("y", "{}")]);
  expect(readdirSync(folder).filter((name) => name.startsWith("outlive"))).toEqual(["outlive.json"]);
});

test("an approval by another process is seen, and neither undoes what the other wrote", () => {
  const path = join(folder, "shared.json");
  const [serving, approving] = [createFilePins(path), createFilePins(path)];
  serving.put([pin("x", "{}", '{"new":1}')]);
  expect(approving.approve("a", "x")).toBe(true);
  expect(serving.get({ upstream: "a", kind: "tool", name: "x" })).toEqual(pin("x", '{"new":1}'));
  serving.put([pin("y", "{}")]);
  expect(approving.list()).toEqual([pin("x", '{"new":1}'), pin("y", "{}")]);
  approving.put([pin("z", "{}")]);
  serving.put([pin("w", "{}")]);
  expect(approving.list().map(({ name }) => name)).toEqual(["w", "x", "y", "z"]);
  expect(approving.approve("a", "x")).toBe(false);
});

const WHOLE = pinFileText([pin("x", "{}", '{"new":1}')]);

test.each([
  ["is not JSON", "{", "not JSON"],
  ["is something else", '{"v":2}', "not a pin file"],
  ["pins what is not listed", WHOLE.replace('"tool"', '"server"'), "kind"],
  ["was edited by hand", WHOLE.replace('"definition": {}', '"definition": {"evil": 1}'), "its digest"],
  ["was edited in what waits", WHOLE.replace('"new": 1', '"evil": 1'), "its digest"],
])("a pin file that %s refuses start", (_, text, why) => {
  const path = join(folder, "bad.json");
  writeFileSync(path, WHOLE);
  expect(createFilePins(path).list()).toHaveLength(1);
  writeFileSync(path, text);
  expect(text).not.toBe(WHOLE);
  expect(() => createFilePins(path)).toThrow(
    expect.objectContaining({
      code: "pins_unusable",
      cause: expect.objectContaining({ message: expect.stringContaining(why) }),
    }),
  );
});

test("what cannot be pinned is not served, and what was pinned stays", async () => {
  const path = join(folder, "gone", "pins.json");
  const pins = createFilePins(path);
  const catalog = catalogOf([fixture("a", page(tool("x")))], { pins });
  await catalog.start();
  expect(catalog.view("support").targets).toEqual([]);
  expect(catalog.status().upstreams[0]).toMatchObject({
    reason: expect.stringContaining("pins_unusable: pins cannot be written: ENOENT"),
    refused: [{ name: "x", reason: "it could not be pinned" }],
  });
  await catalog.refresh();
  expect(catalog.view("support").targets, "nor when it is asked for again").toEqual([]);
  catalog.close();
});

test("a pin file that breaks while serving closes the targets it pinned, until it is mended", async () => {
  const path = join(folder, "breaks.json");
  const catalog = catalogOf([fixture("a", page(tool("x")))], { pins: createFilePins(path) });
  await catalog.start();
  expect(catalog.view("support").targets).toHaveLength(1);
  const sound = readFileSync(path, "utf8");
  writeFileSync(path, sound.slice(1));
  await catalog.refresh();
  expect(catalog.view("support").targets).toEqual([]);
  expect(catalog.status().upstreams[0]).toMatchObject({
    state: "live",
    reason: expect.stringContaining("pins_unusable: "),
  });
  const mended = new Promise((resolve) => catalog.onChange(resolve));
  writeFileSync(path, sound);
  await mended;
  expect(catalog.view("support").targets).toHaveLength(1);
  expect(catalog.status().upstreams[0]).toMatchObject({ state: "live", reason: "" });
  catalog.close();
});
