import type { TokenEndpointResponse, TokenEndpointResponseHelpers } from "openid-client";
import { PortcullisError } from "../errors.ts";
import { isJsonObject } from "../json.ts";
import { Secret } from "../secret.ts";
import type { OAuthAnswer } from "./provider.ts";

type Response = TokenEndpointResponse & TokenEndpointResponseHelpers;

/** What came of asking a token endpoint. */
export async function answerOf(asked: Promise<Response>, provider: string): Promise<OAuthAnswer> {
  let response: Response;
  try {
    response = await asked;
  } catch (thrown) {
    return { ok: false, error: refusalIn(thrown, provider) };
  }
  // A token bound to a key of ours (DPoP) was not asked for and could not be used.
  if (response.token_type.toLowerCase() !== "bearer") return { ok: false, error: "invalid_response" };
  const { access_token, refresh_token, expires_in, scope } = response;
  return {
    ok: true,
    tokens: {
      accessToken: new Secret(access_token),
      refreshToken: refresh_token === undefined ? null : new Secret(refresh_token),
      expiresIn: expires_in ?? null,
      scope: scope ?? null,
      claims: response.claims() ?? null,
    },
  };
}

/** The provider's answer failed a check of ours: its `iss`, the state, the nonce, a signature, its form. */
const CHECK_FAILED = new Set([
  "OAUTH_INVALID_RESPONSE",
  "OAUTH_JWT_TIMESTAMP_CHECK_FAILED",
  "OAUTH_JWT_CLAIM_COMPARISON_FAILED",
  "OAUTH_JSON_ATTRIBUTE_COMPARISON_FAILED",
  "OAUTH_KEY_SELECTION_FAILED",
  "OAUTH_UNSUPPORTED_OPERATION",
]);
const TRANSIENT = new Set(["temporarily_unavailable", "server_error", "slow_down"]);

/**
 * The OAuth error in what openid-client throws; no answer: throws `idp_unavailable`. The thrown object holds requests,
 * bodies and tokens, so nothing of it is kept but a code of known form.
 */
export function refusalIn(thrown: unknown, provider: string): string {
  const { code, error, status, cause } = isObject(thrown) ? thrown : {};
  const answered = typeof status === "number" ? status : isObject(cause) ? cause.status : undefined;
  const failing = typeof answered === "number" && (answered >= 500 || answered === 429);
  if (typeof error === "string") {
    const word = /^[a-z_]{1,64}$/.test(error) ? error : "invalid_response";
    if (!failing && !TRANSIENT.has(word)) return word;
    throw unavailable(provider, `answered ${word}`);
  }
  if (code === "OAUTH_WWW_AUTHENTICATE_CHALLENGE" && !failing) return "invalid_client";
  if (typeof code === "string" && CHECK_FAILED.has(code)) return "invalid_response";
  if (typeof answered === "number" && !failing && answered >= 400) return `status_${answered}`;
  throw unavailable(provider, typeof answered === "number" ? `answered ${answered}` : silence(code));
}

function silence(code: unknown): string {
  return code === "OAUTH_TIMEOUT" ? "did not answer in time" : "gave no answer that can be understood";
}

function unavailable(provider: string, what: string): PortcullisError {
  return new PortcullisError("idp_unavailable", { reason: `${provider} ${what}` });
}

function isObject(value: unknown): value is Record<string, unknown> {
  return value instanceof Error || value instanceof globalThis.Response || isJsonObject(value);
}
