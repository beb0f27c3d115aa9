import { inspect } from "node:util";
import { expect, test } from "vitest";
import { resolveSecret } from "../../src/config/secret.ts";

const store = { env: { TOKEN: "t0p", EMPTY: "" }, readFile: async () => "from-a-file\n" };

test("a reference gives the secret, which cannot be printed", async () => {
  const secret = await resolveSecret({ kind: "env", name: "TOKEN" }, store);
  expect(secret.reveal()).toBe("t0p");
  expect(`${secret} ${inspect(secret)} ${JSON.stringify({ secret })}`).not.toContain("t0p");
});

test("a file's last line end is no part of the secret", async () => {
  expect((await resolveSecret({ kind: "file", path: "/key" }, store)).reveal()).toBe("from-a-file");
});

test("an absent or empty secret is refused by its place", async () => {
  await expect(resolveSecret({ kind: "env", name: "GONE" }, store)).rejects.toThrow(
    "environment variable GONE",
  );
  await expect(resolveSecret({ kind: "env", name: "EMPTY" }, store)).rejects.toThrow(
    "environment variable EMPTY",
  );
  const unreadable = { ...store, readFile: () => Promise.reject(new Error("EACCES")) };
  await expect(resolveSecret({ kind: "file", path: "/key" }, unreadable)).rejects.toThrow(
    "/key cannot be read: EACCES",
  );
});
