import type { Identity } from "../domain.ts";
import type { Clock } from "../lib/clock.ts";
import { digest } from "../lib/json.ts";
import { plainPrincipal } from "../lib/principal.ts";
import { type Directory, lookUp } from "./directory.ts";
import type { IdentityStage } from "./identity.ts";

/** Names the operating system as who vouches for a user: no token's issuer is a URL of this scheme. */
const LOCAL_ISSUER = "os:local";

export interface LocalOptions {
  /** The operating system's name of the user. */
  readonly user: string;
  readonly tenant: string;
  readonly roles: readonly string[];
  readonly scopes: readonly string[];
  readonly directory: Directory;
  readonly clock: Clock;
}

/**
 * Whoever can start the process is its one principal: there is no token to check. A login of the operating system says
 * nothing about when, so a requirement of a recent one does not hold.
 */
export function createLocalIdentity(
  options: LocalOptions,
): Pick<IdentityStage, "authenticate" | "challenge"> {
  const { user, tenant, roles, scopes, directory } = options;
  let latest: Identity | undefined;

  return {
    async authenticate() {
      const [record, attributes] = await lookUp(directory, { issuer: LOCAL_ISSUER, subject: user, tenant });
      if (latest?.tenant === record && latest.principal.attributes === attributes) return latest;
      const principal = plainPrincipal({
        kind: "user",
        issuer: LOCAL_ISSUER,
        subject: user,
        tenant,
        roles,
        scopes,
        client: "stdio",
        attributes,
      });
      latest = {
        principal,
        tenant: record,
        expires: Number.POSITIVE_INFINITY,
        digest: digest([{ ...principal }, record]),
      };
      return latest;
    },
    challenge: () => "",
  };
}
