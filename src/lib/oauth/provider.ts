import type { Secret } from "../secret.ts";

/** An authorization server that the gateway is a client of, as configuration names it. */
export interface OAuthProvider {
  /** Its `iss`; "" where it has none (GitHub), which needs `endpoints`. */
  readonly issuer: string;
  /** Instead of discovery (RFC 8414). */
  readonly endpoints: OAuthEndpoints | null;
  readonly clientId: string;
  readonly proof: ClientProof;
}

export interface OAuthEndpoints {
  readonly authorization_endpoint?: string;
  readonly token_endpoint: string;
  readonly revocation_endpoint?: string;
}

/** How the client proves to the token endpoint who it is. */
export type ClientProof =
  /** A public client: PKCE alone. */
  | { readonly kind: "none" }
  | { readonly kind: "secret"; readonly secret: Secret }
  /** private_key_jwt (RFC 7523): PKCS #8 in PEM, P-256, Ed25519 or RSA. */
  | { readonly kind: "key"; readonly key: Secret; readonly kid?: string };

export interface OAuthTokens {
  readonly accessToken: Secret;
  readonly refreshToken: Secret | null;
  /** Seconds; null: the provider does not say. */
  readonly expiresIn: number | null;
  /** What was granted; null: what was asked for. */
  readonly scope: string | null;
  /** Of a verified ID token. */
  readonly claims: Readonly<Record<string, unknown>> | null;
}

/** `error`: a code of RFC 6749 section 5.2 (`invalid_grant`), or `invalid_response` for an answer that fails a check. */
export type OAuthAnswer =
  | { readonly ok: true; readonly tokens: OAuthTokens }
  | { readonly ok: false; readonly error: string };

/** What the authorization endpoint's answer is checked against. */
export interface CallbackChecks {
  readonly state: string;
  readonly verifier: string;
  /** Given: an ID token with it is required, and its signature checked. */
  readonly nonce?: string;
}

/**
 * The gateway as one client of one provider. Discovers once. Nothing that it throws or returns shows a secret outside
 * of `Secret`; it throws PortcullisError `idp_unavailable` where the provider gave no answer that counts.
 */
export interface OAuthClient {
  authorizationUrl(parameters: Readonly<Record<string, string>>): Promise<URL>;
  /** Authorization code + PKCE; `iss` is checked (RFC 9207). `callback`: the redirect URI with its query. */
  redeem(callback: URL, checks: CallbackChecks): Promise<OAuthAnswer>;
  refresh(token: Secret): Promise<OAuthAnswer>;
  grant(type: string, parameters: URLSearchParams): Promise<OAuthAnswer>;
  /** RFC 7009. unsupported: the provider has no revocation endpoint, or does not revoke tokens of this kind. */
  revoke(token: Secret): Promise<"revoked" | "refused" | "unsupported">;
}

/** A client's registration in the words of configuration, its secrets resolved. */
export interface ClientConfig {
  readonly issuer?: string | undefined;
  readonly authorization_endpoint?: string | undefined;
  readonly token_endpoint?: string | undefined;
  readonly revocation_endpoint?: string | undefined;
  readonly client_id: string;
  readonly client_secret?: Secret | undefined;
  readonly private_key?: Secret | undefined;
  readonly key_id?: string | undefined;
}

/** A token endpoint in it: nothing is discovered. */
export function providerOf(config: ClientConfig): OAuthProvider {
  const { issuer = "", authorization_endpoint, token_endpoint, revocation_endpoint, client_id } = config;
  const endpoints = token_endpoint !== undefined && {
    token_endpoint,
    ...(authorization_endpoint !== undefined && { authorization_endpoint }),
    ...(revocation_endpoint !== undefined && { revocation_endpoint }),
  };
  return { issuer, endpoints: endpoints || null, clientId: client_id, proof: proofOf(config) };
}

function proofOf({ client_secret: secret, private_key: key, key_id: kid }: ClientConfig): ClientProof {
  if (secret !== undefined) return { kind: "secret", secret };
  if (key !== undefined) return { kind: "key", key, ...(kid !== undefined && { kid }) };
  return { kind: "none" };
}
