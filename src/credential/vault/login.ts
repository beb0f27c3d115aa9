import type { Principal } from "../../domain.ts";
import type { Clock } from "../../lib/clock.ts";
import { PortcullisError } from "../../lib/errors.ts";
import { randomId } from "../../lib/ids.ts";
import type { JsonObject } from "../../lib/json.ts";
import { Secret } from "../../lib/secret.ts";
import type { Signer } from "../signer.ts";
import type { VaultAnswer, VaultCall, VaultClient } from "./client.ts";
import { hasCode } from "./faults.ts";
import { subjectName } from "./path.ts";

/** An AppRole of the gateway's own. Its secret id is read anew at each login, so that it may be rotated. */
export interface AppRoleLogin {
  readonly type: "approle";
  readonly mount: string;
  readonly roleId: () => Promise<Secret>;
  readonly secretId: () => Promise<Secret>;
}

/** A JWT that the gateway signs for the user: Vault then knows the user, and its own policies hold tenants apart. */
export interface JwtLogin {
  readonly type: "jwt";
  readonly mount: string;
  readonly role: string;
  readonly audience: string;
}

/** A token of Vault's, as a login or a renewal gave it. */
export interface Granted {
  readonly token: Secret;
  /** "": a batch token, which cannot be revoked. */
  readonly accessor: string;
  /** Seconds; 0: for ever. */
  readonly ttl: number;
  readonly renewable: boolean;
}

const ASSERTION_S = 30;

export function appRoleLogin(login: AppRoleLogin) {
  return async (client: VaultClient, call: Omit<VaultCall, "token">): Promise<Granted> => {
    const [roleId, secretId] = await Promise.all([login.roleId(), login.secretId()]).catch(() => {
      throw refused("the AppRole's role id or secret id cannot be read");
    });
    const data = { role_id: roleId.reveal(), secret_id: secretId.reveal() };
    return loggedIn(client, login.mount, data, call);
  };
}

export function jwtLogin(
  login: JwtLogin,
  parts: {
    readonly issuer: string;
    readonly plainIssuer: string | null;
    readonly signer: Signer;
    readonly clock: Clock;
  },
) {
  return async (
    client: VaultClient,
    call: Omit<VaultCall, "token">,
    principal: Principal,
  ): Promise<Granted> => {
    const { tenant } = principal;
    const subject = subjectName(principal, parts.plainIssuer);
    if (tenant === "") throw refused("the gateway itself has no tenant to log in for");
    const iat = Math.floor(parts.clock() / 1000);
    const jwt = await parts.signer.sign({
      iss: parts.issuer,
      aud: login.audience,
      sub: subject,
      tenant,
      // The user's claim in Vault. By `sub` alone the same name in two tenants would be one entity, and the second
      // login would hand the first one's token the second tenant.
      vault_alias: `${tenant}/${subject}`,
      iat,
      exp: iat + ASSERTION_S,
      jti: randomId(),
    });
    return loggedIn(client, login.mount, { role: login.role, jwt }, call);
  };
}

async function loggedIn(
  client: VaultClient,
  mount: string,
  data: JsonObject,
  call: Omit<VaultCall, "token">,
): Promise<Granted> {
  try {
    return grantedBy(await client.write(`auth/${mount}/login`, data, { ...call, token: null }));
  } catch (thrown) {
    if (hasCode(thrown, "vault_denied", "vault_role_unknown")) throw refused(thrown.reason);
    throw thrown;
  }
}

/** Whether Vault still knows the token that the call brings. */
export async function isAlive(client: VaultClient, call: VaultCall): Promise<boolean> {
  try {
    await client.read("auth/token/lookup-self", call);
    return true;
  } catch (thrown) {
    if (hasCode(thrown, "vault_denied")) return false;
    throw thrown;
  }
}

export function grantedBy({ auth }: VaultAnswer): Granted {
  const { client_token, accessor, lease_duration, renewable } = auth;
  if (typeof client_token !== "string" || client_token === "") throw refused("vault's answer has no token");
  return {
    token: new Secret(client_token),
    accessor: typeof accessor === "string" ? accessor : "",
    ttl: typeof lease_duration === "number" ? lease_duration : 0,
    renewable: renewable === true,
  };
}

export function refused(reason: string): PortcullisError {
  return new PortcullisError("vault_login_refused", { reason });
}
