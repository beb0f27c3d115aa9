import { createPrivateKey, type KeyObject, webcrypto } from "node:crypto";
import type { ClientAuth, Configuration, CustomFetch } from "openid-client";
import { PortcullisError } from "../errors.ts";
import { gather } from "../gathered.ts";
import { isSecureUrl } from "../loopback.ts";
import type { Secret } from "../secret.ts";
import { answerOf, refusalIn } from "./answer.ts";
import type { ClientProof, OAuthClient, OAuthProvider } from "./provider.ts";

const MAX_ANSWER_BYTES = 1 << 20;
/** A provider that could not be discovered is not asked again for so long. */
const PAUSE_MS = 1_000;

type OpenIdClient = typeof import("openid-client");

export interface OAuthClientOptions {
  readonly provider: OAuthProvider;
  /** For each request to the provider. */
  readonly timeoutMs: number;
  readonly fetch: typeof fetch;
}

/** A client of this provider; the library is loaded, and the provider discovered, when first used. */
export function createOAuthClient(options: OAuthClientOptions): OAuthClient {
  const { provider } = options;
  const name = nameOf(provider);
  const configured = memoized(() => configure(options));

  return {
    async authorizationUrl(parameters) {
      const { oidc, config } = await configured();
      try {
        return oidc.buildAuthorizationUrl(config, { ...parameters });
      } catch {
        throw new PortcullisError("idp_unavailable", { reason: `${name} has no authorization endpoint` });
      }
    },
    async redeem(callback, { state, verifier, nonce }) {
      const { oidc, config } = await configured();
      const checks = {
        expectedState: state,
        pkceCodeVerifier: verifier,
        ...(nonce !== undefined && { expectedNonce: nonce }),
      };
      return answerOf(oidc.authorizationCodeGrant(config, callback, checks), name);
    },
    async refresh(token) {
      const { oidc, config } = await configured();
      return answerOf(oidc.refreshTokenGrant(config, token.reveal()), name);
    },
    async grant(type, parameters) {
      const { oidc, config } = await configured();
      return answerOf(oidc.genericGrantRequest(config, type, parameters), name);
    },
    async revoke(token) {
      const { oidc, config } = await configured();
      if (config.serverMetadata().revocation_endpoint === undefined) return "unsupported";
      try {
        await oidc.tokenRevocation(config, token.reveal());
        return "revoked";
      } catch (thrown) {
        // What has no memory of its tokens, such as an issuer of JWTs, says so (RFC 7009 section 2.2.1).
        return refusalIn(thrown, name) === "unsupported_token_type" ? "unsupported" : "refused";
      }
    },
  };
}

export function nameOf({ issuer, endpoints }: OAuthProvider): string {
  return issuer || (URL.parse(endpoints?.token_endpoint ?? "")?.origin ?? "the provider");
}

async function configure(
  options: OAuthClientOptions,
): Promise<{ oidc: OpenIdClient; config: Configuration }> {
  const { provider, timeoutMs } = options;
  const oidc = await import("openid-client");
  const proof = await proofOf(oidc, provider.proof);
  const guarded = guardedFetch(options);
  const timeout = timeoutMs / 1000;
  // The guarded fetch decides where plain http may go.
  const execute = [oidc.allowInsecureRequests, oidc.enableNonRepudiationChecks];
  const { issuer, endpoints, clientId } = provider;
  if (endpoints !== null) {
    const server = { issuer: issuer || new URL(endpoints.token_endpoint).origin, ...endpoints };
    const config = new oidc.Configuration(server, clientId, undefined, proof);
    config.timeout = timeout;
    config[oidc.customFetch] = guarded;
    oidc.allowInsecureRequests(config);
    return { oidc, config };
  }
  try {
    const how = { execute, timeout, [oidc.customFetch]: guarded };
    const config = await oidc.discovery(new URL(issuer), clientId, undefined, proof, how);
    return { oidc, config };
  } catch (thrown) {
    const what = refusalIn(thrown, issuer);
    throw new PortcullisError("idp_unavailable", { reason: `${issuer} cannot be discovered: ${what}` });
  }
}

async function proofOf(oidc: OpenIdClient, proof: ClientProof): Promise<ClientAuth> {
  if (proof.kind === "none") return oidc.None();
  if (proof.kind === "key") {
    const key = await cryptoKeyOf(proof.key);
    return oidc.PrivateKeyJwt(proof.kid === undefined ? key : { key, kid: proof.kid });
  }
  const post = oidc.ClientSecretPost(proof.secret.reveal());
  const basic = oidc.ClientSecretBasic(proof.secret.reveal());
  return (as, ...rest) => {
    const methods = as.token_endpoint_auth_methods_supported;
    // Providers disagree on how Basic encodes special characters; in the body there is one way.
    return (methods?.includes("client_secret_post") === false ? basic : post)(as, ...rest);
  };
}

async function cryptoKeyOf(pem: Secret): Promise<webcrypto.CryptoKey> {
  try {
    const key = createPrivateKey(pem.reveal());
    const der = key.export({ type: "pkcs8", format: "der" });
    return await webcrypto.subtle.importKey("pkcs8", der, algorithmOf(key), false, ["sign"]);
  } catch {
    throw new PortcullisError("credential_unavailable", {
      reason: "a client's private key is not PKCS #8 in PEM with P-256, Ed25519 or RSA",
    });
  }
}

function algorithmOf({ asymmetricKeyType, asymmetricKeyDetails }: KeyObject) {
  if (asymmetricKeyType === "ed25519") return { name: "Ed25519" };
  if (asymmetricKeyType === "rsa") return { name: "RSA-PSS", hash: "SHA-256" };
  if (asymmetricKeyDetails?.namedCurve === "prime256v1") return { name: "ECDSA", namedCurve: "P-256" };
  throw new TypeError("another kind of key");
}

/** Bounded in time and size, follows no redirect, and speaks plain http with this machine alone. */
function guardedFetch({ fetch, timeoutMs }: OAuthClientOptions): CustomFetch {
  return async (address, init) => {
    const url = new URL(address);
    if (!isSecureUrl(url)) throw new TypeError("plain http");
    const response = await fetch(url, {
      method: init.method,
      headers: init.headers,
      body: init.body ?? null,
      redirect: "manual",
      signal: AbortSignal.any([AbortSignal.timeout(timeoutMs), ...(init.signal ? [init.signal] : [])]),
    });
    if (response.body === null) return response;
    const body = await gather(response.body, MAX_ANSWER_BYTES);
    if (body === undefined) throw new TypeError("too large");
    return new Response(new Uint8Array(body), { status: response.status, headers: response.headers });
  };
}

/** The first that succeeds is kept; after a failure there is a pause before the next. */
function memoized<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => {
    made ??= make().catch((error: unknown) => {
      setTimeout(() => {
        made = undefined;
      }, PAUSE_MS).unref();
      throw error;
    });
    return made;
  };
}
