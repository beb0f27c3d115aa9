import { decodeJwt, errors, type JWTPayload, jwtVerify } from "jose";
import type { Principal } from "../domain.ts";
import type { Clock } from "../lib/clock.ts";
import { PortcullisError } from "../lib/errors.ts";
import type { JsonObject } from "../lib/json.ts";
import type { Log } from "../lib/log.ts";
import type { ClaimPath } from "./claims.ts";
import { createIssuerKeys, type IssuerKeys, remoteKeys } from "./keys.ts";
import { type ClaimMapping, principalOf } from "./principal.ts";

/** Asymmetric only: with a shared secret, whoever can check a token can make one. */
const ALGORITHMS = [
  "ES256",
  "ES384",
  "ES512",
  "PS256",
  "PS384",
  "PS512",
  "RS256",
  "RS384",
  "RS512",
  "EdDSA",
  "Ed25519",
] as const;
type Algorithm = (typeof ALGORITHMS)[number];

/** An issuer whose tokens are accepted. */
export type IssuerOptions = {
  /** Compared with `iss` as it is. */
  readonly issuer: string;
  readonly algorithms: readonly Algorithm[];
  /** The tenant acted on: fixed for this issuer, or named by a claim. */
  readonly tenant: { readonly claim: ClaimPath } | { readonly fixed: string };
  readonly claims?: ClaimMapping;
  /** Accepted values of the header `typ`; default `at+jwt` (RFC 9068), so that an ID token is refused. */
  readonly token_types?: readonly string[];
  /** Seconds, where this issuer's clock needs another tolerance than the usual one. */
  readonly clock_tolerance?: number;
} & (
  | { readonly jwks_uri: string }
  /** The issuer lives in this process: its JWKS without a fetch. */
  | { readonly keys: () => Promise<JsonObject> }
);

/** What a token proved, before anything is looked up. */
export interface VerifiedToken {
  /** With the attributes from claims only. */
  readonly principal: Principal;
  /** All that `aud` names. */
  readonly audiences: readonly string[];
  /** Seconds since the epoch. */
  readonly expires: number;
  /** Until when it is accepted: `expires` and the tolerance, in seconds since the epoch. */
  readonly acceptedUntil: number;
  readonly keys: IssuerKeys;
  /** Of the keys that vouched: when it is no longer `keys.version`, nothing was proved. */
  readonly keysVersion: string;
}

export interface TokenVerifier {
  /** For one of these audiences at least. Throws `token_invalid`, `token_expired`, `tenant_unknown` or `identity_unavailable`. */
  verify(token: string, audiences: readonly string[]): Promise<VerifiedToken>;
  close(): void;
}

export interface TokenVerifierOptions {
  readonly issuers: readonly IssuerOptions[];
  readonly clock: Clock;
  readonly fetch: typeof fetch;
  readonly log: Log;
}

/** Seconds. */
const TOLERANCE = 30;
const MAX_TOKEN = 8_192;
const COMPACT_JWS = /^[\w-]+\.[\w-]+\.[\w-]+$/;
/** Headers that bring a key or a rule of the token's own: no issuer needs them, attackers do. */
const REFUSED_HEADERS = ["jku", "jwk", "x5u", "x5c", "crit"];

interface Issuer {
  readonly options: IssuerOptions;
  readonly keys: IssuerKeys;
  readonly types: ReadonlySet<string>;
  readonly tolerance: number;
}

export function createTokenVerifier(options: TokenVerifierOptions): TokenVerifier {
  const { clock } = options;
  const issuers = new Map(options.issuers.map((issuer) => [issuer.issuer, createIssuer(issuer, options)]));
  if (issuers.size !== options.issuers.length) throw new TypeError("an issuer is configured twice");

  async function check(token: string, issuer: Issuer, audiences: readonly string[]) {
    let keysVersion = "";
    const { payload } = await jwtVerify(
      token,
      async (header) => {
        if (REFUSED_HEADERS.some((name) => name in header)) throw invalid("a refused header");
        if (!issuer.types.has(typeName(header.typ))) throw invalid(`typ ${JSON.stringify(header.typ)}`);
        const key = await issuer.keys.find(header);
        keysVersion = issuer.keys.version;
        return key;
      },
      {
        algorithms: [...issuer.options.algorithms],
        issuer: issuer.options.issuer,
        audience: [...audiences],
        requiredClaims: ["exp", "sub"],
        clockTolerance: issuer.tolerance,
        currentDate: new Date(clock()),
      },
    );
    return { payload, keysVersion };
  }

  /** What the library leaves open: `iat` and `auth_time` in the future, an endless `exp`, a mixed `aud`. Gives `exp`. */
  function checkClaims({ exp, iat, aud }: JWTPayload, authTime: number, tolerance: number): number {
    const latest = clock() / 1_000 + tolerance;
    if (exp === undefined || !Number.isSafeInteger(Math.floor(exp))) throw invalid("claim exp is not a time");
    if (iat !== undefined && !(iat <= latest)) throw invalid("claim iat is in the future");
    if (authTime > latest) throw invalid("claim auth_time is in the future");
    if (Array.isArray(aud) && !aud.every((one) => typeof one === "string"))
      throw invalid("claim aud has the wrong type");
    return exp;
  }

  return {
    async verify(token, audiences) {
      if (token.length > MAX_TOKEN || !COMPACT_JWS.test(token))
        throw invalid("not a compact JWS of at most 8192 bytes");
      try {
        const issuer = issuers.get(decodeJwt(token).iss ?? "");
        if (issuer === undefined) throw invalid("the issuer is not configured");
        const { payload, keysVersion } = await check(token, issuer, audiences);
        const claims = issuer.options.claims ?? {};
        const principal = principalOf(payload as JsonObject, { ...issuer.options, claims });
        const expires = checkClaims(payload, principal.auth_time, issuer.tolerance);
        return {
          principal,
          audiences: [payload.aud ?? []].flat(),
          expires,
          acceptedUntil: expires + issuer.tolerance,
          keys: issuer.keys,
          keysVersion,
        };
      } catch (error) {
        throw refusal(error);
      }
    },
    close() {
      for (const { keys } of issuers.values()) keys.close();
    },
  };
}

function createIssuer(options: IssuerOptions, { clock, fetch, log }: TokenVerifierOptions): Issuer {
  const allowed: readonly string[] = ALGORITHMS;
  if (options.algorithms.length === 0 || !options.algorithms.every((name) => allowed.includes(name))) {
    throw new TypeError(`${options.issuer}: algorithms must be some of ${allowed.join(", ")}`);
  }
  const source =
    "jwks_uri" in options
      ? remoteKeys(options.jwks_uri, fetch)
      : async () => JSON.stringify(await options.keys());
  return {
    options,
    keys: createIssuerKeys({ issuer: options.issuer, source, clock, log }),
    types: new Set((options.token_types ?? ["at+jwt"]).map(typeName)),
    tolerance: options.clock_tolerance ?? TOLERANCE,
  };
}

/** Media types compare without case and without the leading `application/` (RFC 7515 section 4.1.9). */
function typeName(typ: unknown): string {
  return typeof typ === "string" ? typ.toLowerCase().replace(/^application\//, "") : "";
}

function invalid(reason: string, cause?: unknown): PortcullisError {
  return new PortcullisError("token_invalid", { reason, cause });
}

/** What a token that cannot be verified is refused with. */
export function refusal(error: unknown): PortcullisError {
  if (error instanceof PortcullisError) return error;
  if (error instanceof errors.JWTExpired)
    return new PortcullisError("token_expired", { reason: "exp", cause: error });
  if (error instanceof errors.JWTClaimValidationFailed)
    return invalid(`claim ${error.claim}: ${error.reason}`, error);
  return invalid(error instanceof errors.JOSEError ? error.code : "it cannot be verified", error);
}
