import type { Clock } from "../../lib/clock.ts";
import { PortcullisError } from "../../lib/errors.ts";
import { isJsonObject } from "../../lib/json.ts";
import { type Injection, injected } from "../injection.ts";
import { type CredentialSource, latestEnd } from "../source.ts";
import { hasCode } from "./faults.ts";
import { fieldsOf, unleased } from "./lease.ts";
import { render } from "./path.ts";
import type { Vault } from "./vault.ts";

/** A secret that somebody put there for this principal (KV version 2), kept for the lease's time and then read anew. */
export function createVaultKvSource(options: {
  readonly vault: Vault;
  readonly mount: string;
  /** A template below the mount. */
  readonly path: string;
  readonly injection: Injection;
  readonly clock: Clock;
}): CredentialSource {
  const { vault, mount, injection, clock } = options;
  return {
    obtain(request, principal, order) {
      const path = `${mount}/data/${render(options.path, vault.variables(principal, request.role))}`;
      return vault.obtain(principal, order, async ({ client, user, call }) => {
        const expires = latestEnd(request, principal, clock());
        const { data, requestId } = await client.read(path, call).catch(missing);
        if (!isJsonObject(data.data)) throw missing();
        const secrets = injected(fieldsOf(data.data), injection);
        // Not of the secret itself: people choose passwords, and a hash of one can be guessed.
        return unleased(secrets, { user, expires, requestId, id: `${path} ${requestId}` });
      });
    },
    close: async () => {},
  };
}

/** 404 is all that Vault says, whether nothing was ever written there or it was deleted. */
function missing(thrown?: unknown): never {
  if (thrown !== undefined && !hasCode(thrown, "vault_role_unknown")) throw thrown;
  throw new PortcullisError("vault_secret_missing");
}
