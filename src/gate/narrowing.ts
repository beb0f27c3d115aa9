import type { Credentials } from "../credential/credentials.ts";
import type { Principal, Target } from "../domain.ts";
import { PortcullisError } from "../lib/errors.ts";
import { type Capabilities, nothing } from "./capabilities.ts";
import type { Admission } from "./rooms.ts";

/** What a principal was given at all, before any policy is asked: everything, unless it is a run. */
export interface Reach {
  reaches(principal: Principal, target: Target, server: string): boolean;
  mayHave(principal: Principal, source: string): boolean;
}

/** Where no runs are configured: whoever still comes as one was given nothing. */
export const NO_RUNS: Reach = {
  reaches: ({ run }) => run === null,
  mayHave: ({ run }) => run === null,
};

/**
 * A layer that policy cannot lift: a target that a run was not given has no grant. It lies around the cache of
 * capabilities, so that no two runs share what it says.
 */
export function narrowCapabilities(inner: Capabilities, { reaches }: Pick<Reach, "reaches">): Capabilities {
  return {
    of(policy, context, targets) {
      const open = inner.of(policy, context, targets);
      const { principal, server } = context;
      if (principal.run === null) return open;
      return targets.map((target, at) => {
        const found = open[at] ?? NOT_GIVEN;
        // A denial of policy stays one: it closes more than a missing grant does.
        return found.denied || reaches(principal, target, server) ? found : NOT_GIVEN;
      });
    },
  };
}

/**
 * The same for credentials, whatever grant names them. Whoever was let in before their tenant was suspended and comes
 * here after its leases were revoked must not get another.
 */
export function narrowCredentials(
  inner: Pick<Credentials, "obtain">,
  { mayHave }: Pick<Reach, "mayHave">,
  admission: Pick<Admission, "check">,
): Pick<Credentials, "obtain"> {
  return {
    async obtain(choice, principal, decision) {
      admission.check(principal);
      if (choice !== null && !mayHave(principal, choice.source)) {
        throw new PortcullisError("credential_refused", {
          reason: `the run was not given "${choice.source}"`,
        });
      }
      return inner.obtain(choice, principal, decision);
    },
  };
}

const NOT_GIVEN = nothing({ denials: [], faults: ["the run was not given this target"] });
