import { randomBytes } from "node:crypto";
import type Provider from "oidc-provider";
import type { ClientMetadata, Configuration, ResourceServer } from "oidc-provider";
import type { Clock } from "../lib/clock.ts";
import type { Log } from "../lib/log.ts";
import { errorPage } from "./page.ts";
import type { SigningKey } from "./signing-key.ts";
import { createStore } from "./store.ts";
import { claimsOf, type SampleUser } from "./users.ts";

/** Lifetimes in seconds. */
export const ACCESS_TOKEN_TTL = 600;
const TTL = {
  AccessToken: ACCESS_TOKEN_TTL,
  AuthorizationCode: 60,
  Grant: 28_800,
  IdToken: ACCESS_TOKEN_TTL,
  Interaction: 600,
  RefreshToken: 28_800,
  Session: 600,
};

/** Bytes. Whoever registers names what is fetched, and must not decide how much of it is kept. */
const FETCH_LIMITS = {
  "client_id metadata document": 5_120,
  sector_identifier_uri: 5_120,
  jwks_uri: 65_536,
};

export interface FixedClient {
  readonly client_id: string;
  readonly client_name: string;
  readonly redirect_uris: readonly string[];
}

export interface ProviderOptions {
  readonly issuer: URL;
  readonly users: ReadonlyMap<string, SampleUser>;
  /** The guarded URLs: what tokens may be asked for, compared as they are (RFC 8707). */
  readonly resources: () => readonly string[];
  readonly scopes: readonly string[];
  readonly key: SigningKey;
  /** Public clients that are there from the start, beside those that register themselves. */
  readonly clients?: readonly FixedClient[];
  /** Hosts whose client metadata documents this fetch gets; all others go through the provider's own guarded one. */
  readonly clientMetadata?: { readonly hosts: readonly string[]; readonly fetch: typeof fetch };
  readonly clock: Clock;
  readonly log: Log;
}

/** Loads oidc-provider, which takes longer than the rest of a start, and configures it. */
export async function loadProvider(options: ProviderOptions): Promise<Provider> {
  const [{ Provider }, { InvalidTarget }] = await Promise.all([
    import("oidc-provider/lib/provider.js"),
    import("oidc-provider/lib/helpers/errors.js"),
  ]);

  function resourceServer(resource: string | undefined): ResourceServer {
    if (resource === undefined || !options.resources().includes(resource)) {
      throw new InvalidTarget("name one guarded URL of this gateway as the resource");
    }
    return {
      audience: resource,
      scope: options.scopes.join(" "),
      accessTokenFormat: "jwt",
      accessTokenTTL: ACCESS_TOKEN_TTL,
      jwt: { sign: { alg: "ES256" } },
    };
  }

  const provider = new Provider(options.issuer.href, {
    ...fixed(options.issuer.pathname),
    ...people(options),
    adapter: createStore(options.clock),
    jwks: { keys: [options.key.privateJwk] },
    scopes: ["openid", "offline_access", ...options.scopes],
    clients: (options.clients ?? []).map(fixedClient),
    fetch: fetchWith(options.clientMetadata),
    fetchResponseBodyLimits: FETCH_LIMITS,
    features: {
      ...FEATURES,
      resourceIndicators: {
        enabled: true,
        // A token for no resource would be one for nobody: at the authorization endpoint it must be named.
        defaultResource: (_ctx, _client, oneOf) => oneOf ?? resourceServer(undefined).audience ?? "",
        getResourceServerInfo: (_ctx, resource) => resourceServer(resource),
        useGrantedResource: () => true,
      },
    },
  });
  fixOrigin(provider, options.issuer);
  provider.on("server_error", (_ctx, error) =>
    options.log.error({ error: String(error) }, "the authorization server failed"),
  );
  provider.silent = true;
  return provider;
}

const FEATURES = {
  registration: { enabled: true, issueRegistrationAccessToken: false },
  clientIdMetadataDocument: { enabled: true, ack: "draft-02" },
  revocation: { enabled: true, allowedPolicy: (_ctx, client, token) => token.clientId === client.clientId },
  devInteractions: { enabled: false },
  dPoP: { enabled: false },
  pushedAuthorizationRequests: { enabled: false },
  rpInitiatedLogout: { enabled: false },
  userinfo: { enabled: false },
} satisfies Configuration["features"];

function fixed(mount: string): Configuration {
  return {
    responseTypes: ["code"],
    clientAuthMethods: ["none", "client_secret_basic", "client_secret_post"],
    // Native (RFC 8252): http only to loopback, there on any port.
    clientDefaults: { application_type: "native", id_token_signed_response_alg: "ES256" },
    pkce: { required: () => true },
    ttl: TTL,
    rotateRefreshToken: () => true,
    issueRefreshToken: async (_ctx, client) => client.grantTypeAllowed("refresh_token"),
    expiresWithSession: async () => false,
    clientBasedCORS: (_ctx, origin, client) =>
      (client.redirectUris ?? []).some((uri) => URL.parse(uri)?.origin === origin),
    // A sign-in is worth something only with the tenant.
    claims: { openid: ["sub", "name", "tenant"] },
    conformIdTokenClaims: false,
    interactions: { url: (_ctx, { uid }) => `${mount}/interaction/${uid}` },
    cookies: {
      keys: [randomBytes(32).toString("base64url")],
      short: { httpOnly: true, sameSite: "lax" },
      // No single sign-on: the session comes back to no endpoint that signs in, so that one browser can try all users.
      long: { httpOnly: true, sameSite: "lax", path: `${mount}/session` },
    },
    renderError(ctx, { error, error_description }) {
      const page = errorPage(error, error_description ?? "");
      ctx.set(page.headers);
      ctx.body = page.html;
    },
  };
}

function fixedClient({ redirect_uris, ...client }: FixedClient): ClientMetadata {
  return {
    ...client,
    redirect_uris: [...redirect_uris],
    token_endpoint_auth_method: "none",
    grant_types: ["authorization_code"],
    response_types: ["code"],
  };
}

function people({ users }: ProviderOptions): Configuration {
  return {
    findAccount(_ctx, subject) {
      const user = users.get(subject);
      const claims = user && { sub: subject, name: user.name, tenant: user.tenant };
      return claims && { accountId: subject, claims: async () => claims };
    },
    extraTokenClaims({ oidc }, token) {
      const user = "accountId" in token ? users.get(token.accountId) : undefined;
      const { authTime = 0 } = oidc.entities.AuthorizationCode ?? oidc.entities.RefreshToken ?? {};
      return user && claimsOf(user, authTime);
    },
  };
}

function fetchWith(own: ProviderOptions["clientMetadata"]): typeof fetch {
  return (input, init) => {
    const url = new URL(input instanceof Request ? input.url : input);
    if (!own?.hosts.includes(url.host)) return globalThis.fetch(input, init);
    const { signal, headers, redirect } = init ?? {};
    return own.fetch(url, {
      ...(signal && { signal }),
      ...(headers && { headers }),
      redirect: redirect ?? "error",
    });
  };
}

/** The URLs that it publishes come from its issuer and never from a request's Host. */
function fixOrigin(provider: Provider, issuer: URL): void {
  Object.defineProperties(provider.request, {
    origin: { get: () => issuer.origin },
    host: { get: () => issuer.host },
    protocol: { get: () => issuer.protocol.slice(0, -1) },
  });
}
