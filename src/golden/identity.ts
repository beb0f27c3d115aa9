import type { Config } from "../config/config.ts";
import { attributesOf, type Tenant } from "../config/tenants.ts";
import type { Identity } from "../domain.ts";
import { PortcullisError } from "../lib/errors.ts";
import { digest } from "../lib/json.ts";
import { plainPrincipal } from "../lib/principal.ts";
import type { GoldenPrincipal } from "./case.ts";

const LOGIN_AGE = 60;

/**
 * The identity that a token of this principal would give.
 *
 * @param now seconds since the epoch
 * @throws PortcullisError `params_invalid` for who or what the configuration does not know
 */
export async function findIdentity(config: Config, given: GoldenPrincipal, now: number): Promise<Identity> {
  const id = given.tenant ?? sampleUser(config, given.user)?.tenant;
  if (id === undefined) throw unknown(`there is no sample user "${given.user}", and no tenant is given`);
  const tenant = await config.tenants.get(id);
  if (!tenant.ok) throw unknown(tenant.problems[0]?.message ?? `there is no tenant "${id}"`);
  return identityOf(config, tenant.value, given, now);
}

/** The same for a tenant that is known. */
export function identityOf(config: Config, tenant: Tenant, given: GoldenPrincipal, now: number): Identity {
  const sample = sampleUser(config, given.user);
  const { public_url } = config.listen;
  const issuer = sample ? `${public_url}/oauth` : (config.issuers[0]?.issuer ?? public_url);
  const principal = plainPrincipal({
    kind: "user",
    issuer,
    subject: given.user,
    tenant: tenant.id,
    roles: given.roles ?? sample?.roles ?? [],
    scopes: given.scopes ?? [],
    auth_time: now - (given.login_age ?? LOGIN_AGE),
    attributes: given.attributes ?? attributesOf(tenant, issuer, given.user),
  });
  const { record } = tenant;
  return { principal, tenant: record, expires: now + 3600, digest: digest([{ ...principal }, record]) };
}

function sampleUser({ authorization_server: server }: Config, name: string) {
  return server !== null && Object.hasOwn(server.users, name) ? server.users[name] : undefined;
}

function unknown(reason: string): PortcullisError {
  return new PortcullisError("params_invalid", { reason });
}
