import type { Clock } from "../../lib/clock.ts";
import type { Injection } from "../injection.ts";
import type { CredentialSource } from "../source.ts";
import { createVaultDynamicSource } from "./dynamic.ts";
import { createVaultIdentitySource } from "./identity.ts";
import { createVaultKvSource } from "./kv.ts";
import { createVaultPkiSource } from "./pki.ts";
import type { Vault } from "./vault.ts";

/** What is obtained from a Vault. Templates know `{tenant}`, `{subject}` and `{role}`. */
export type VaultSourceConfig = {
  /** By name. */
  readonly vault: string;
  /** Seconds. */
  readonly ttl: number;
  readonly inject: Injection;
} & (
  | { readonly type: "vault-dynamic"; readonly path: string }
  | { readonly type: "vault-identity"; readonly role: string }
  | { readonly type: "vault-kv"; readonly mount: string; readonly path: string }
  | { readonly type: "vault-pki"; readonly mount: string; readonly role: string; readonly uri_san: string }
);

export function createVaultSource(config: VaultSourceConfig, vault: Vault, clock: Clock): CredentialSource {
  const parts = { vault, injection: config.inject, clock };
  switch (config.type) {
    case "vault-dynamic":
      return createVaultDynamicSource({ ...parts, path: config.path });
    case "vault-identity":
      return createVaultIdentitySource({ ...parts, role: config.role });
    case "vault-kv":
      return createVaultKvSource({ ...parts, mount: config.mount, path: config.path });
    case "vault-pki": {
      const { mount, role, uri_san: uriSan } = config;
      return createVaultPkiSource({ ...parts, mount, role, uriSan });
    }
  }
}
