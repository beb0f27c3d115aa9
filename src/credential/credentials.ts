import type { CredentialChoice, Lease, LeaseEntry, Principal } from "../domain.ts";
import type { Clock } from "../lib/clock.ts";
import { PortcullisError } from "../lib/errors.ts";
import type { JsonObject } from "../lib/json.ts";
import type { Log } from "../lib/log.ts";
import { type ClientConfig, providerOf } from "../lib/oauth/provider.ts";
import type { Secret } from "../lib/secret.ts";
import type { LeaseScope } from "./held-lease.ts";
import { createLeaseCache } from "./leases.ts";
import { createClientCredentialsSource } from "./oauth/client-credentials.ts";
import { type AccountTokens, createConnectedAccountSource } from "./oauth/connected-account.ts";
import type { Asked } from "./oauth/grant-source.ts";
import { createTokenExchangeSource } from "./oauth/token-exchange.ts";
import { createSignedJwtSource } from "./signed-jwt.ts";
import { createSigner, type Signer } from "./signer.ts";
import {
  type CredentialRequest,
  type CredentialSource,
  type DecisionReference,
  NO_LEASE,
  noneSource,
} from "./source.ts";
import { createVaultSource, type VaultSourceConfig } from "./vault/source.ts";
import { openVault, type Vault, type VaultConfig } from "./vault/vault.ts";

export type { LeaseScope };

export type SourceConfig = {
  /** The upstreams that may receive it. */
  readonly upstreams: readonly string[];
} & (
  | { readonly type: "none" }
  /** ttl: seconds. */
  | { readonly type: "signed-jwt"; readonly audience: string; readonly ttl: number }
  | (ClientConfig & Asked & { readonly type: "token-exchange" | "client-credentials"; readonly ttl: number })
  | { readonly type: "connected-account"; readonly account: string; readonly ttl: number }
  | VaultSourceConfig
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
  /** By name, for sources that are in one. */
  readonly vaults?: Readonly<Record<string, VaultConfig>>;
  /** The accounts that users have linked; needed by sources of type `connected-account`. */
  readonly accounts?: AccountTokens;
  /** For identity providers; default: the global one. */
  readonly fetch?: typeof fetch;
  /** Most leases held at once, of all tenants together. */
  readonly capacity: number;
  readonly clock: Clock;
  /** 0 to 1, for renewals to be spread; default: `Math.random`. */
  readonly random?: () => number;
  readonly log: Log;
  /** Told of every lease that is minted, renewed, revoked or dropped: for the decision log. Of a mint it is waited for. */
  readonly onLease?: (entry: LeaseEntry) => void | Promise<void>;
  /** Why what was asked for under this scope is not to be used again; null, as by default: it holds. */
  readonly outdated?: (scope: LeaseScope) => string | null;
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
  /**
   * Revokes every lease that matches, also those still being minted: a run ended, a tenant was suspended, a revision
   * no longer holds. Never rejects; resolves with how many there were, after one attempt on each.
   */
  revokeWhere(matches: (scope: LeaseScope) => boolean, reason: string): Promise<number>;
  /**
   * The same for what is only not to be used any more: what calls and streams still work with is revoked when the last
   * of them is done.
   */
  retireWhere(matches: (scope: LeaseScope) => boolean, reason: string): void;
  /** Revokes all leases, waits for that at most 10 s, and closes the sources. */
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
  const vaults = await openVaults(signer, options);
  const sources = new Map(
    Object.entries(options.sources).map(([name, config]) => [
      name,
      sourceOf(config, signer, vaults, options),
    ]),
  );
  const { random = Math.random, onLease = () => {}, outdated = () => null } = options;
  const leases = createLeaseCache({ ...options, random, onLease, outdated });
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
      const ask = {
        tenant: principal.tenant,
        key: principalKey(principal) + key,
        scope: () => scopeOf(request, principal, decision),
        decision: decision.decisionId,
      };
      return leases.obtain(ask, (discard) => source.obtain(request, principal, { ...decision, discard }));
    },
    revokeWhere: leases.revokeWhere,
    retireWhere: leases.retireWhere,
    jwks() {
      const keys = [...sources.values()].flatMap(({ source }) => source.keys?.() ?? []);
      // A Vault that the gateway logs in to verifies by them as well.
      const logins = Object.values(options.vaults ?? {}).some(({ login }) => login.type === "jwt");
      return { keys: [...new Set(logins ? [...keys, signer.publicKey] : keys)] };
    },
    async close() {
      await leases.close();
      await Promise.all([...sources.values()].map(({ source }) => source.close()));
      await Promise.all([...vaults.values()].map((vault) => vault.close()));
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
    const request = { source: name, role, ttl, longest: given.max_ttl, upstream };
    return { source: found.source, request };
  }
}

async function openVaults(signer: Signer, options: CredentialsOptions): Promise<ReadonlyMap<string, Vault>> {
  const { publicUrl: issuer, clock, random = Math.random, log } = options;
  const parts = { issuer, signer, clock, random, log };
  const opening = Object.entries(options.vaults ?? {}).map(
    async ([name, config]) => [name, await openVault(config, parts)] as const,
  );
  return new Map(await Promise.all(opening));
}

function scopeOf(request: CredentialRequest, principal: Principal, decision: DecisionReference): LeaseScope {
  const { tenant, issuer, subject, run } = principal;
  const { source, role, upstream } = request;
  const { server, revision } = decision;
  return { tenant, issuer, subject, run: run?.id ?? "", source, role, upstream, server, revision };
}

function sourceOf(
  config: SourceConfig,
  signer: Signer,
  vaults: ReadonlyMap<string, Vault>,
  options: CredentialsOptions,
): Source {
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
    case "token-exchange":
    case "client-credentials": {
      const { publicUrl: issuer, clock, fetch = globalThis.fetch } = options;
      const shared = { provider: providerOf(config), asked: config, clock, fetch };
      const source =
        config.type === "token-exchange"
          ? createTokenExchangeSource({ ...shared, issuer, signer })
          : createClientCredentialsSource(shared);
      return { source, upstreams, ttl: config.ttl };
    }
    case "connected-account": {
      const { accounts, clock } = options;
      const { account, ttl } = config;
      if (accounts === undefined)
        throw new TypeError(`no connected accounts are configured for "${account}"`);
      return { source: createConnectedAccountSource({ account, accounts, clock }), upstreams, ttl };
    }
    default: {
      const vault = vaults.get(config.vault);
      if (vault === undefined) throw new TypeError(`no vault "${config.vault}" is configured`);
      return { source: createVaultSource(config, vault, options.clock), upstreams, ttl: config.ttl };
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
