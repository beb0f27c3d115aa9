import { afterAll, beforeAll, expect, test } from "vitest";
import { createTransitKeys, type TransitClient } from "../../src/accounts/transit-keys.ts";
import type { JsonObject } from "../../src/lib/json.ts";
import { type OpenBao, startOpenBao } from "../support/openbao.ts";

let bao: OpenBao;
let vault: TransitClient;
beforeAll(async () => {
  bao = await startOpenBao();
  await bao.set("sys/mounts/transit", { type: "transit" });
  vault = {
    async write(path, body) {
      const answer = await bao.ask("POST", path, body);
      if (answer.status === 400 || answer.status === 404) return null;
      if (answer.status >= 300) throw new Error(`status ${answer.status}`);
      return (answer.body?.data ?? {}) as JsonObject;
    },
    async delete(path) {
      await bao.ask("DELETE", path);
    },
  };
});
afterAll(() => bao.close());

test("what a tenant's transit key encrypted opens for its link and tenant alone", async () => {
  const keys = createTransitKeys(vault, "transit");
  const sealed = await keys.encrypt("acme", "mine", "hunter2");
  expect(sealed).toMatch(/^vault:v1:/);
  expect(await keys.decrypt("acme", "mine", sealed)).toBe("hunter2");
  expect(await keys.decrypt("acme", "yours", sealed)).toBeNull();
  await keys.encrypt("globex", "mine", "x");
  expect(await keys.decrypt("globex", "mine", sealed)).toBeNull();
  expect(await keys.decrypt("nobody", "mine", sealed)).toBeNull();
  const [prefix, bytes] = [
    sealed.slice(0, "vault:v1:".length),
    Buffer.from(sealed.slice("vault:v1:".length), "base64"),
  ];
  bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
  expect(await keys.decrypt("acme", "mine", prefix + bytes.toString("base64"))).toBeNull();
});

test("it opens after a rotation of the key", async () => {
  const keys = createTransitKeys(vault, "transit");
  const sealed = await keys.encrypt("acme", "mine", "hunter2");
  await bao.set("transit/keys/tenant-acme/rotate", {});
  expect(await keys.encrypt("acme", "mine", "x")).toMatch(/^vault:v2:/);
  expect(await keys.decrypt("acme", "mine", sealed)).toBe("hunter2");
});

test("a destroyed key opens nothing any more, and destroying it again is no error", async () => {
  const keys = createTransitKeys(vault, "transit");
  const sealed = await keys.encrypt("initech", "mine", "hunter2");
  await keys.destroy("initech");
  expect(await keys.decrypt("initech", "mine", sealed)).toBeNull();
  await keys.destroy("initech");
});

test.each(["..", "a/../b", "a/b", "", "a b", "%2e%2e"])(
  "a tenant named %j reaches no other path",
  async (tenant) => {
    const asked: string[] = [];
    const write = async (path: string) => {
      asked.push(path);
      return {};
    };
    const keys = createTransitKeys({ write, delete: async () => {} }, "transit");
    await expect(keys.encrypt(tenant, "c", "x")).rejects.toMatchObject({ code: "account_unavailable" });
    await expect(keys.destroy(tenant)).rejects.toMatchObject({ code: "account_unavailable" });
    expect(asked).toEqual([]);
  },
);
