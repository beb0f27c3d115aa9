import { expect, test } from "vitest";
import { type Injection, injected } from "../../src/credential/injection.ts";
import { Secret } from "../../src/lib/secret.ts";

const fieldsOf = (fields: Record<string, string>) =>
  Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, new Secret(value)]));
const bearer: Injection = { header: { name: "authorization", scheme: "bearer" } };
const basic: Injection = { header: { name: "authorization", scheme: "basic" } };
const raw: Injection = { header: { name: "x-api-key", scheme: "raw", field: "constructor" } };
const env: Injection = { env: { PGPASSWORD: "password" } };

test.each<[string, Injection, Record<string, string>]>([
  ["a line break in a header", bearer, { token: "hunter2\r\nx-role: admin" }],
  ["a space that a header would lose", bearer, { token: " hunter2" }],
  ["nothing at all", bearer, { token: "" }],
  ["no ASCII", bearer, { token: "hünter2" }],
  [
    "a colon in the name of a Basic header, where the password begins",
    basic,
    { username: "ann:hunter2", password: "x" },
  ],
  ["the end of a text in an environment", env, { password: "hunter2\0x" }],
  ["no such field", env, { token: "hunter2" }],
  ["what every object inherits", raw, { token: "hunter2" }],
])("a secret with %s is not sent, and the refusal does not show it", (_, how, fields) => {
  let thrown: unknown;
  try {
    injected(fieldsOf(fields), how);
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toMatchObject({ code: "credential_unavailable" });
  expect(JSON.stringify(thrown) + String(thrown)).not.toContain("hunter2");
});

test("a password may hold what a name may not, and each way carries what it was given", () => {
  const fields = fieldsOf({ username: "ann", password: "hunter:2", token: "a b" });
  const told = (how: Injection) => injected(fields, how).headers.get("authorization")?.reveal();
  expect(told(basic)).toBe(`Basic ${Buffer.from("ann:hunter:2").toString("base64")}`);
  expect(told(bearer)).toBe("Bearer a b");
  expect(injected(fields, env).env?.get("PGPASSWORD")?.reveal()).toBe("hunter:2");
});
