import type { Config } from "../config/config.ts";
import type { Identity, Principal } from "../domain.ts";
import { PortcullisError } from "../lib/errors.ts";
import { digest } from "../lib/json.ts";
import type { GoldenPrincipal } from "./case.ts";

const LOGIN_AGE = 60;

/**
 * The identity that a token of this principal would give.
 *
 * @param now seconds since the epoch
 * @throws PortcullisError `params_invalid` for who or what the configuration does not know
 */
export async function identityOf(config: Config, given: GoldenPrincipal, now: number): Promise<Identity> {
  const users = config.authorization_server?.users ?? {};
  const sample = Object.hasOwn(users, given.user) ? users[given.user] : undefined;
  const id = given.tenant ?? sample?.tenant;
  if (id === undefined) throw unknown(`there is no sample user "${given.user}", and no tenant is given`);
  const tenant = await config.tenants.get(id);
  if (!tenant.ok) throw unknown(tenant.problems[0]?.message ?? `there is no tenant "${id}"`);
  const issuer = sample
    ? `${config.listen.public_url}/oauth`
    : (config.issuers[0]?.issuer ?? config.listen.public_url);
  const principal: Principal = {
    kind: "user",
    issuer,
    subject: given.user,
    tenant: id,
    home_tenant: id,
    roles: given.roles ?? sample?.roles ?? [],
    scopes: given.scopes ?? [],
    client: "",
    auth_time: now - (given.login_age ?? LOGIN_AGE),
    acr: "",
    amr: [],
    actor: "",
    run: null,
    attributes: given.attributes ?? tenant.value.attributes[issuer]?.[given.user] ?? {},
  };
  const { record } = tenant.value;
  return { principal, tenant: record, expires: now + 3600, digest: digest([{ ...principal }, record]) };
}

function unknown(reason: string): PortcullisError {
  return new PortcullisError("params_invalid", { reason });
}
