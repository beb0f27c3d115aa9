import type { Clock } from "../../lib/clock.ts";
import { PortcullisError } from "../../lib/errors.ts";
import { type Injection, injected } from "../injection.ts";
import { type CredentialSource, latestEnd } from "../source.ts";
import { malformed } from "./faults.ts";
import { fieldsOf, unleased } from "./lease.ts";
import { render } from "./path.ts";
import type { Vault } from "./vault.ts";

/**
 * A JWT that Vault signs for the user, bound to the upstream's audience (`identity/oidc/token`). Vault's role fixes how
 * long it lives; one that lives longer than the grant allows is refused, since nothing can end it early.
 */
export function createVaultIdentitySource(options: {
  readonly vault: Vault;
  /** A template of the role's name. */
  readonly role: string;
  readonly injection: Injection;
  readonly clock: Clock;
}): CredentialSource {
  const { vault, injection, clock } = options;
  return {
    obtain(request, principal, order) {
      const role = render(options.role, vault.variables(principal, request.role));
      return vault.obtain(principal, order, async ({ client, user, call }) => {
        const now = clock();
        const latest = latestEnd(request, principal, now);
        const { data, requestId } = await client.read(`identity/oidc/token/${role}`, call);
        if (typeof data.ttl !== "number" || typeof data.token !== "string") throw malformed("token");
        const expires = now + data.ttl * 1000;
        const made = { user, expires, requestId, id: data.token };
        if (data.ttl > request.ttl || (principal.run !== null && expires > latest)) {
          order.discard(unleased({ headers: new Map() }, made), "it lives longer than is permitted");
          throw new PortcullisError("credential_refused", {
            reason: `vault's tokens of this role live ${data.ttl} s, longer than is permitted`,
          });
        }
        return unleased(injected(fieldsOf({ token: data.token }), injection), made);
      });
    },
    close: async () => {},
  };
}
