import type { Config } from "../config/config.ts";
import { resolveSecret, type SecretRef } from "../config/secret.ts";
import type { CredentialsOptions } from "../credential/credentials.ts";
import type { Ground } from "./ground.ts";
import { secretsOf } from "./secrets.ts";

type Vaults = NonNullable<CredentialsOptions["vaults"]>;

/** The configured Vaults, as the credential room opens them. */
export async function vaultsOf({ config, env }: Pick<Ground, "config" | "env">): Promise<Vaults> {
  const secrets = secretsOf({ env });
  const secret = (ref: SecretRef) => () => resolveSecret(ref, secrets);
  const entries = Object.entries(config.vaults).map(async ([name, vault]) => {
    const { address, ca, namespace = "", login, manager, timeout_ms: timeoutMs } = vault;
    const appRole = (given: Extract<typeof login, { type: "approle" }>) => ({
      type: given.type,
      mount: given.mount,
      roleId: secret(given.role_id),
      secretId: secret(given.secret_id),
    });
    const opened = {
      address,
      namespace,
      ca: ca === undefined ? null : await secrets.readFile(ca),
      login: login.type === "jwt" ? login : appRole(login),
      manager: { ...appRole(manager), namespace: manager.namespace ?? "" },
      plainIssuer: vault.issuer ?? onlyIssuer(config),
      timeoutMs,
    };
    return [name, opened] as const;
  });
  return Object.fromEntries(await Promise.all(entries));
}

/** Two issuers may each have an "ann": with several, a name alone says nothing. */
function onlyIssuer({ issuers, authorization_server, listen }: Config): string | null {
  const embedded = authorization_server === null ? [] : [`${listen.public_url}/oauth`];
  const [only, ...others] = [...issuers.map(({ issuer }) => issuer), ...embedded];
  return only !== undefined && others.length === 0 ? only : null;
}
