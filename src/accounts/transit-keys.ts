import { PortcullisError } from "../lib/errors.ts";
import type { JsonObject } from "../lib/json.ts";
import type { TenantKeys } from "./tenant-keys.ts";

/** Vault or OpenBao, as the gateway itself. Rejects where it gives no answer that counts. */
export interface TransitClient {
  /** The answer's `data`; null: it refuses this request as such (400, 404). */
  write(path: string, body: JsonObject): Promise<JsonObject | null>;
  delete(path: string): Promise<void>;
}

/**
 * Keys that never leave Vault: `<mount>/keys/tenant-<tenant>`, derived by context, since `rewrap` takes a context and
 * no associated data. Needs `update` on encrypt, decrypt and keys, and `delete` on keys.
 */
export function createTransitKeys(vault: TransitClient, mount: string): TenantKeys {
  const at = (verb: string, tenant: string): string => `${mount}/${verb}/tenant-${segment(tenant)}`;

  return {
    keeper: "vault",
    async encrypt(tenant, context, plaintext) {
      const body = { plaintext: base64(plaintext), context: base64(context) };
      const path = at("encrypt", tenant);
      // A key that is there stays as it is.
      await vault.write(at("keys", tenant), { type: "aes256-gcm96", derived: true });
      const ciphertext = (await vault.write(path, body))?.ciphertext;
      if (typeof ciphertext === "string") return ciphertext;
      throw new PortcullisError("account_unavailable", { reason: "Vault's transit engine did not encrypt" });
    },
    async decrypt(tenant, context, ciphertext) {
      const body = { ciphertext, context: base64(context) };
      const plaintext = (await vault.write(at("decrypt", tenant), body))?.plaintext;
      return typeof plaintext === "string" ? Buffer.from(plaintext, "base64").toString("utf8") : null;
    },
    async destroy(tenant) {
      const found = await vault.write(`${at("keys", tenant)}/config`, { deletion_allowed: true });
      if (found !== null) await vault.delete(at("keys", tenant));
    },
  };
}

/** `..` or a slash would be another path. */
function segment(tenant: string): string {
  if (/^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/.test(tenant)) return tenant;
  throw new PortcullisError("account_unavailable", { reason: "this tenant's name cannot be a key's" });
}

function base64(text: string): string {
  return Buffer.from(text).toString("base64");
}
