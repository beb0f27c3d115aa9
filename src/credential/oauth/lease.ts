import { PortcullisError } from "../../lib/errors.ts";
import { sha256 } from "../../lib/json.ts";
import type { OAuthAnswer, OAuthTokens } from "../../lib/oauth/provider.ts";
import { Secret } from "../../lib/secret.ts";
import type { MintedLease } from "../source.ts";

/** The tokens of a grant. Throws `idp_refused` with the provider's own code, and nothing else of its answer. */
export function granted(answer: OAuthAnswer, provider: string): OAuthTokens {
  if (answer.ok) return answer.tokens;
  throw new PortcullisError("idp_refused", { reason: `${provider} refused: ${answer.error}` });
}

/** An access token as a lease: `Authorization: Bearer`. */
export function bearerLease(
  token: Secret,
  expires: number,
  ends: Pick<MintedLease, "endsAt" | "revoke" | "rejected">,
): MintedLease {
  const text = token.reveal();
  return {
    expires,
    headers: new Map([["authorization", new Secret(`Bearer ${text}`)]]),
    secrets: [token],
    sha256: sha256(text),
    ...ends,
  };
}
