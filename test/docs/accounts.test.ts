import { expect, test } from "vitest";
import { parseConfig } from "../../src/config/config.ts";
import { readPage } from "./page.ts";

const page = readPage("accounts.md");

test("the configuration on the page is accepted", () => {
  const [config] = page.blocks("yaml", "config");
  const parsed = parseConfig(config?.text ?? "", "/portcullis.yaml");
  expect(parsed.ok ? [] : parsed.problems).toEqual([]);
});
