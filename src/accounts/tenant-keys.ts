import { randomBytes } from "node:crypto";
import { PortcullisError } from "../lib/errors.ts";
import type { Database } from "./database.ts";
import { derive, KEY_BYTES, seal, unseal } from "./seal.ts";

/** `database`: the accounts' own, beside what the keys encrypt. */
export type KeyKeeper = "database" | "vault";

/** A key for each tenant. Rejects where the keys cannot be reached. */
export interface TenantKeys {
  /** The tenant's first encryption makes its key. */
  encrypt(tenant: string, context: string, plaintext: string): Promise<string>;
  /** null: the key is gone, or this is not what it encrypted for this context. */
  decrypt(tenant: string, context: string, ciphertext: string): Promise<string | null>;
  /** Where the keys are: what they encrypted can be read again from a backup of it that was made before `destroy`. */
  readonly keeper: KeyKeeper;
  /** What it encrypted is lost for good (crypto-shredding), as far as its keeper can forget the key. */
  destroy(tenant: string): Promise<void>;
}

/**
 * Random keys in the accounts' database, each wrapped by a key derived from the master key: neither the database nor
 * the master key alone opens anything; both together do, also a copy of the database from before a key was destroyed.
 * They are not kept in memory, so that a tenant's end holds at once everywhere.
 */
export function createEmbeddedKeys(
  { query, scrub }: Pick<Database, "query" | "scrub">,
  master: Uint8Array,
): TenantKeys {
  const wrapping = derive(master, "tenant keys");

  async function find(tenant: string): Promise<Uint8Array | null> {
    const [row] = await query("SELECT wrapped FROM portcullis_tenant_keys WHERE tenant = $1", [tenant]);
    const key = row === undefined ? null : unseal(wrapping, tenant, String(row.wrapped));
    return key === null ? null : Buffer.from(key, "base64url");
  }

  async function make(tenant: string): Promise<void> {
    const wrapped = seal(wrapping, tenant, randomBytes(KEY_BYTES).toString("base64url"));
    const sql =
      "INSERT INTO portcullis_tenant_keys (tenant, wrapped, created_at) VALUES ($1, $2, now()) ON CONFLICT DO NOTHING";
    await query(sql, [tenant, wrapped]);
  }

  return {
    keeper: "database",
    async encrypt(tenant, context, plaintext) {
      await make(tenant);
      const key = await find(tenant);
      // There, yet not ours to open: another master key made it.
      if (key === null) {
        const reason = "the tenant's key does not open with this master key";
        throw new PortcullisError("account_unavailable", { reason });
      }
      return seal(key, context, plaintext);
    },
    async decrypt(tenant, context, ciphertext) {
      const key = await find(tenant);
      return key === null ? null : unseal(key, context, ciphertext);
    },
    async destroy(tenant) {
      await query("DELETE FROM portcullis_tenant_keys WHERE tenant = $1", [tenant]);
      await scrub("portcullis_tenant_keys");
    },
  };
}
