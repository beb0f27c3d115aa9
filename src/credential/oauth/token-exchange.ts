import { randomId } from "../../lib/ids.ts";
import { subjectOf } from "../signed-jwt.ts";
import type { Signer } from "../signer.ts";
import type { CredentialSource } from "../source.ts";
import { createGrantSource, type GrantSourceOptions } from "./grant-source.ts";

/** Seconds: it is used at once. */
const ASSERTION_TTL = 60;

/**
 * A token for the user at another audience (RFC 8693). The subject token is an assertion that the gateway signs for
 * the identity provider, which verifies it by the gateway's JWKS: the caller's own token is not passed on, here neither.
 */
export function createTokenExchangeSource(
  options: Omit<GrantSourceOptions, "grantType" | "parameters" | "keys"> & {
    /** The gateway's public URL: `iss` of the assertion. */
    readonly issuer: string;
    readonly signer: Signer;
  },
): CredentialSource {
  const { issuer, signer, clock, provider } = options;
  const audience = provider.issuer || (provider.endpoints?.token_endpoint ?? "");
  return createGrantSource({
    ...options,
    grantType: "urn:ietf:params:oauth:grant-type:token-exchange",
    keys: () => [signer.publicKey],
    async parameters({ role }, principal) {
      const iat = Math.floor(clock() / 1000);
      const assertion = await signer.sign({
        iss: issuer,
        aud: audience,
        ...subjectOf(principal),
        ...(role !== "" && { role }),
        iat,
        exp: iat + ASSERTION_TTL,
        jti: randomId(),
      });
      return {
        subject_token: assertion,
        subject_token_type: "urn:ietf:params:oauth:token-type:jwt",
        requested_token_type: "urn:ietf:params:oauth:token-type:access_token",
      };
    },
  });
}
