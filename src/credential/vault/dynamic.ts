import type { Clock } from "../../lib/clock.ts";
import { type Injection, injected } from "../injection.ts";
import { type CredentialSource, latestEnd } from "../source.ts";
import { malformed } from "./faults.ts";
import { fieldsOf, leased } from "./lease.ts";
import { render } from "./path.ts";
import type { Vault } from "./vault.ts";

/** A secret that Vault makes for this principal and ends with its lease: a database role, or any other `creds` path. */
export function createVaultDynamicSource(options: {
  readonly vault: Vault;
  /** A template, such as `database/creds/{tenant}.{role}`. */
  readonly path: string;
  readonly injection: Injection;
  readonly clock: Clock;
}): CredentialSource {
  const { vault, injection, clock } = options;
  return {
    obtain(request, principal, order) {
      const path = render(options.path, vault.variables(principal, request.role));
      return vault.obtain(principal, order, async ({ client, manager, user, call }) => {
        await manager.ready(user.context.decisionId);
        const startedAt = clock();
        // Nothing is made for a run that ended while it waited.
        latestEnd(request, principal, startedAt);
        const answer = await client.read(path, call);
        if (answer.leaseId === "" || answer.leaseDuration <= 0) throw malformed("lease");
        const life = { request, principal, startedAt, clock, user, manager };
        try {
          return leased(injected(fieldsOf(answer.data), injection), answer, life);
        } catch (thrown) {
          order.discard(leased({ headers: new Map() }, answer, life), "it cannot be sent to its upstream");
          throw thrown;
        }
      });
    },
    close: async () => {},
  };
}
