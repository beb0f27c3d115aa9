import type { Principal } from "../../domain.ts";
import type { Clock } from "../../lib/clock.ts";
import { PortcullisError } from "../../lib/errors.ts";
import { createOAuthClient, nameOf } from "../../lib/oauth/client.ts";
import type { OAuthProvider } from "../../lib/oauth/provider.ts";
import { type CredentialRequest, type CredentialSource, latestEnd } from "../source.ts";
import { bearerLease, granted } from "./lease.ts";

const TIMEOUT_MS = 10_000;
/** A token of which the provider does not say how long it lives: so long it is tried to revoke it. */
const UNTOLD_LIFE_S = 24 * 3600;

/** What is asked of a token endpoint: from configuration and the grant's role alone, never from the caller. */
export interface Asked {
  /** RFC 8693. */
  readonly audience?: string | undefined;
  /** RFC 8707. */
  readonly resource?: string | undefined;
  readonly scopes: readonly string[];
  /** Further scopes by the role that a grant names. */
  readonly roles: Readonly<Record<string, readonly string[]>>;
}

export interface GrantSourceOptions {
  readonly provider: OAuthProvider;
  readonly asked: Asked;
  readonly grantType: string;
  /** Parameters beyond those of `asked`. */
  parameters(request: CredentialRequest, principal: Principal): Promise<Readonly<Record<string, string>>>;
  readonly keys?: CredentialSource["keys"];
  readonly clock: Clock;
  readonly fetch: typeof fetch;
}

/** A token that an identity provider mints for one lease, revoked with it (RFC 7009) where the provider can. */
export function createGrantSource(options: GrantSourceOptions): CredentialSource {
  const { provider, asked, grantType, clock, fetch, keys } = options;
  const client = createOAuthClient({ provider, timeoutMs: TIMEOUT_MS, fetch });
  return {
    async obtain(request, principal) {
      const startedAt = clock();
      const end = latestEnd(request, principal, startedAt);
      const parameters = new URLSearchParams({
        ...targetOf(asked, request.role),
        ...(await options.parameters(request, principal)),
      });
      const tokens = granted(await client.grant(grantType, parameters), nameOf(provider));
      const endsAt = startedAt + (tokens.expiresIn ?? UNTOLD_LIFE_S) * 1000;
      return bearerLease(tokens.accessToken, Math.min(end, endsAt), {
        endsAt,
        async revoke() {
          const ended = await client.revoke(tokens.accessToken);
          if (ended !== "refused") return ended;
          throw new PortcullisError("idp_refused", {
            reason: `${nameOf(provider)} refused to revoke a token`,
          });
        },
      });
    },
    ...(keys !== undefined && { keys }),
    close: async () => {},
  };
}

function targetOf({ audience, resource, scopes, roles }: Asked, role: string): Record<string, string> {
  const ofRole = Object.hasOwn(roles, role) ? (roles[role] ?? []) : [];
  const scope = [...new Set([...scopes, ...ofRole])].join(" ");
  return {
    ...(audience !== undefined && { audience }),
    ...(resource !== undefined && { resource }),
    ...(scope !== "" && { scope }),
  };
}
