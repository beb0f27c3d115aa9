import type { CredentialChoice, Lease, Principal } from "../domain.ts";
import type { Clock } from "../lib/clock.ts";
import { PortcullisError } from "../lib/errors.ts";
import type { JsonObject } from "../lib/json.ts";
import type { Log } from "../lib/log.ts";
import type { Secret } from "../lib/secret.ts";
import { createLeaseCache } from "./leases.ts";
import { createSignedJwtSource } from "./signed-jwt.ts";
import { createSigner, type Signer } from "./signer.ts";
import { type CredentialSource, type DecisionReference, NO_LEASE, noneSource } from "./source.ts";

export type SourceConfig = {
  /** The upstreams that may receive it. */
  readonly upstreams: readonly string[];
} & (
  | { readonly type: "none" }
  /** ttl: seconds. */
  | { readonly type: "signed-jwt"; readonly audience: string; readonly ttl: number }
);

/** What a tenant is given of a source: the roles its grants may name, and the longest life of a lease in seconds. */
export type TenantCredentials = Readonly<
  Record<string, { readonly roles: readonly string[]; readonly max_ttl: number }>
>;

export interface CredentialsOptions {
  readonly sources: Readonly<Record<string, SourceConfig>>;
  /** By tenant id; undefined: the tenant is given none. */
  readonly tenants: (id: string) => TenantCredentials | undefined;
  /** The gateway's public URL: `iss` of its assertions. */
  readonly publicUrl: string;
  /** PKCS #8 in PEM, P-256 or Ed25519; null: a key for the life of the process. */
  readonly signingKey: Secret | null;
  /** Most leases held at once. */
  readonly capacity: number;
  readonly clock: Clock;
  readonly log: Log;
}

export interface Credentials {
  /**
   * The lease that a grant names, for this principal alone; no choice: a lease without headers. `revoke()` on it when
   * the upstream no longer takes it: the next call gets a new one.
   * @throws PortcullisError `credential_refused` if configuration does not give it, before anything is minted;
   *   `credential_unavailable` if it cannot be obtained
   */
  obtain(choice: CredentialChoice | null, principal: Principal, decision: DecisionReference): Promise<Lease>;
  /** The JWKS (RFC 7517) by which upstreams verify assertions. */
  jwks(): JsonObject;
  /** Revokes all leases and closes the sources. */
  close(): Promise<void>;
}

interface Source {
  readonly source: CredentialSource;
  readonly upstreams: ReadonlySet<string>;
  /** Seconds. */
  readonly ttl: number;
}

export async function createCredentials(options: CredentialsOptions): Promise<Credentials> {
  const signer = await createSigner(options.signingKey);
  const sources = new Map(
    Object.entries(options.sources).map(([name, config]) => [name, sourceOf(config, signer, options)]),
  );
  const leases = createLeaseCache(options);
  const principalKey = createPrincipalKey();

  return {
    async obtain(choice, principal, decision) {
      if (choice === null) return NO_LEASE;
      const { source, request } = permitted(choice, principal, decision);
      const { revision } = decision;
      const key = JSON.stringify([
        request.source,
        request.role,
        request.ttl,
        request.upstream,
        revision.platform,
        revision.tenant,
      ]);
      return leases.obtain(principalKey(principal) + key, () => source.obtain(request, principal, decision));
    },
    jwks() {
      const keys = [...sources.values()].flatMap(({ source }) => source.keys?.() ?? []);
      return { keys: [...new Set(keys)] };
    },
    async close() {
      await leases.close();
      await Promise.all([...sources.values()].map(({ source }) => source.close()));
    },
  };

  function permitted(choice: CredentialChoice, { tenant }: Principal, { upstream }: DecisionReference) {
    const { source: name, role = "" } = choice;
    const found = sources.get(name);
    if (found === undefined) throw refused(`there is no credential source "${name}"`);
    if (!found.upstreams.has(upstream)) throw refused(`upstream "${upstream}" may not receive "${name}"`);
    const tenantGiven = options.tenants(tenant) ?? {};
    const given = Object.hasOwn(tenantGiven, name) ? tenantGiven[name] : undefined;
    if (given === undefined) throw refused(`tenant "${tenant}" is not given "${name}"`);
    if (role !== "" && !given.roles.includes(role)) {
      throw refused(`tenant "${tenant}" may not have role "${role}" of "${name}"`);
    }
    const ttl = Math.floor(Math.min(choice.ttl ?? found.ttl, found.ttl, given.max_ttl));
    if (!(ttl >= 1)) throw refused(`no time to live is left for "${name}"`);
    return { source: found.source, request: { source: name, role, ttl, upstream } };
  }
}

function sourceOf(config: SourceConfig, signer: Signer, options: CredentialsOptions): Source {
  const upstreams = new Set(config.upstreams);
  switch (config.type) {
    case "none":
      return { source: noneSource, upstreams, ttl: Number.POSITIVE_INFINITY };
    case "signed-jwt": {
      const { audience, ttl } = config;
      const source = createSignedJwtSource({
        issuer: options.publicUrl,
        audience,
        signer,
        clock: options.clock,
      });
      return { source, upstreams, ttl };
    }
  }
}

/** Whose lease it is: the tenant acted on, the user as the issuer names it, and the run. */
function createPrincipalKey(): (principal: Principal) => string {
  const known = new WeakMap<Principal, string>();
  return (principal) => {
    let key = known.get(principal);
    if (key === undefined) {
      const { tenant, issuer, subject, run } = principal;
      key = JSON.stringify([tenant, issuer, subject, run]);
      known.set(principal, key);
    }
    return key;
  };
}

function refused(reason: string): PortcullisError {
  return new PortcullisError("credential_refused", { reason });
}
