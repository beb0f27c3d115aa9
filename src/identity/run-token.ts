import { createSecretKey, hash, hkdfSync } from "node:crypto";
import { jwtVerify, SignJWT } from "jose";
import type { Clock } from "../lib/clock.ts";
import { PortcullisError } from "../lib/errors.ts";
import { LRUCache } from "../lib/lru.ts";
import { Secret } from "../lib/secret.ts";
import { refusal } from "./token.ts";

/** Not `at+jwt` (RFC 9068): no verifier of access tokens takes it for one, and an access token is no run's. */
const HEADER = { alg: "HS256", typ: "portcullis-run+jwt" } as const;

/** A run token begins with exactly this header: there is no other algorithm, key or rule for it to choose. */
const BEGINNING = `${Buffer.from(JSON.stringify(HEADER)).toString("base64url")}.`;

const MAX_TOKEN = 8_192;
const MAX_VERIFIED = 10_000;

export interface RunClaims {
  /** The run's id: all else about it is looked up. */
  readonly id: string;
  readonly subject: string;
  /** The URLs of the virtual servers that it is for. */
  readonly audiences: readonly string[];
  /** Seconds since the epoch. */
  readonly expires: number;
}

/** The tokens of runs: JWTs of the gateway, for the gateway alone. */
export interface RunTokens {
  /** Whether it is for `verify`; it need not be valid. */
  is(token: string): boolean;
  sign(claims: RunClaims): Promise<Secret>;
  /** The run's id. Throws `token_invalid` or `token_expired`. */
  verify(token: string, audience: string): Promise<string>;
}

/**
 * One key signs and verifies (HS256): nobody but the gateway's replicas has to read these tokens, and what they share
 * already is this key.
 * @param key 32 bytes or more, the same for all replicas; another one is derived from it for this purpose
 */
export function createRunTokens(options: {
  readonly key: Secret | Buffer;
  /** The gateway's public URL. */
  readonly issuer: string;
  readonly clock: Clock;
}): RunTokens {
  const { issuer, clock } = options;
  const master = options.key instanceof Secret ? Buffer.from(options.key.reveal()) : options.key;
  if (master.length < 32) throw new PortcullisError("internal", { reason: "a key needs 32 bytes or more" });
  const derived = hkdfSync("sha256", master, "portcullis run tokens", "", 32);
  const key = createSecretKey(Buffer.from(derived));

  /** By audience and digest of the token: what was signed once stays signed; only time goes on. */
  const verified = new LRUCache<string, { readonly id: string; readonly expires: number }>({
    max: MAX_VERIFIED,
  });

  async function check(token: string, audience: string) {
    if (token.length > MAX_TOKEN || !token.startsWith(BEGINNING)) throw new TypeError("not a run token");
    const { payload } = await jwtVerify(token, key, {
      algorithms: [HEADER.alg],
      issuer,
      audience,
      requiredClaims: ["exp", "jti"],
      currentDate: new Date(clock()),
    });
    return { id: payload.jti ?? "", expires: payload.exp ?? 0 };
  }

  return {
    is: (token) => token.startsWith(BEGINNING),
    async sign({ id, subject, audiences, expires }) {
      const token = await new SignJWT({ jti: id, sub: subject, iss: issuer, aud: [...audiences] })
        .setProtectedHeader(HEADER)
        .setIssuedAt(Math.floor(clock() / 1000))
        .setExpirationTime(expires)
        .sign(key);
      return new Secret(token);
    },
    async verify(token, audience) {
      const name = `${audience}\n${hash("sha256", token, "base64")}`;
      const known = verified.get(name);
      if (known !== undefined && clock() < known.expires * 1000) return known.id;
      try {
        const claims = await check(token, audience);
        verified.set(name, claims);
        return claims.id;
      } catch (error) {
        throw refusal(error);
      }
    },
  };
}
