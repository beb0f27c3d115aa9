import type { Principal } from "../domain.ts";
import type { Clock } from "../lib/clock.ts";
import { randomId } from "../lib/ids.ts";
import { sha256 } from "../lib/json.ts";
import { Secret } from "../lib/secret.ts";
import type { Signer } from "./signer.ts";
import { type CredentialSource, endsByItself, latestEnd } from "./source.ts";

/**
 * A short-lived assertion (RFC 7523 in spirit) that the gateway signs for one upstream's audience. It says on whose
 * behalf a call is made: `sub` as `subject_issuer` names it, in `tenant`, with `role`. It is shared by the calls of
 * its lease, so the decision's id travels beside it, not within.
 */
export function createSignedJwtSource(options: {
  /** The gateway's public URL. */
  readonly issuer: string;
  readonly audience: string;
  readonly signer: Signer;
  readonly clock: Clock;
}): CredentialSource {
  const { issuer, audience, signer, clock } = options;
  return {
    async obtain({ role, ttl }, principal) {
      const iat = Math.floor(clock() / 1000);
      const exp = latestEnd({ ttl }, principal, iat * 1000) / 1000;
      const token = await signer.sign({
        iss: issuer,
        aud: audience,
        ...subjectOf(principal),
        ...(role === "" ? {} : { role }),
        iat,
        exp,
        jti: randomId(),
      });
      return {
        expires: exp * 1000,
        headers: new Map([["authorization", new Secret(`Bearer ${token}`)]]),
        sha256: sha256(token),
        revoke: endsByItself,
      };
    },
    keys: () => [signer.publicKey],
    close: async () => {},
  };
}

/** On whose behalf an assertion speaks, as claims. */
export function subjectOf({ subject, issuer, tenant }: Principal) {
  return { sub: subject, subject_issuer: issuer, tenant };
}
