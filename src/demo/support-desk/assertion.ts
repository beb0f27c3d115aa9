import {
  createLocalJWKSet,
  createRemoteJWKSet,
  type JSONWebKeySet,
  type JWTVerifyGetKey,
  jwtVerify,
} from "jose";

/** Whom the gateway vouches for. */
export interface Caller {
  readonly subject: string;
  readonly tenant: string;
  /** The role that the gateway's grant chose: what this call may do here. */
  readonly role: string;
}

export interface AssertionOptions {
  /** Where the gateway publishes its keys, or the keys themselves. */
  readonly keys: URL | JSONWebKeySet;
  readonly audience: string;
  /** Exactly as in `iss`; any when absent. */
  readonly issuer?: string;
}

/** Verifies the gateway's signed assertions; undefined for whatever is not one. */
export function createAssertionVerifier({ keys, audience, issuer }: AssertionOptions) {
  const source: JWTVerifyGetKey = keys instanceof URL ? createRemoteJWKSet(keys) : createLocalJWKSet(keys);
  const checks = {
    audience,
    requiredClaims: ["exp", "sub"],
    algorithms: ["ES256", "EdDSA"],
    ...(issuer === undefined ? {} : { issuer }),
  };
  return async (token: string): Promise<Caller | undefined> => {
    try {
      const { payload } = await jwtVerify(token, source, checks);
      return { subject: payload.sub ?? "", tenant: text(payload.tenant), role: text(payload.role) };
    } catch {
      return undefined;
    }
  };
}

function text(claim: unknown): string {
  return typeof claim === "string" ? claim : "";
}
