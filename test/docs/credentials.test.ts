import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { ERRORS } from "../../src/lib/errors.ts";
import { readPage } from "./page.ts";

const page = readPage("credentials.md");
const script = readFileSync(new URL("../../examples/vault/set-up.sh", import.meta.url), "utf8");

test.each(["login", "policy", "manager", "database", "audit"])(
  "the commands for %s are those that the demonstration runs",
  (part) => {
    const [block] = page.blocks("sh", part);
    expect(block?.text ?? "").not.toBe("");
    expect(script).toContain(block?.text);
  },
);

test("every code of Vault's is in the table, and no other", () => {
  const rows = page.table("Vault", "Code", "Then").map(([, code = ""]) => code.replaceAll("`", ""));
  const codes = Object.keys(ERRORS).filter((code) => code.startsWith("vault_"));
  expect(rows.filter((code) => code !== "").sort()).toEqual(codes.sort());
});
