import type { Clock } from "../lib/clock.ts";
import type { Json } from "../lib/json.ts";
import type { OAuthTokens } from "../lib/oauth/provider.ts";
import { Secret } from "../lib/secret.ts";
import type { LinkKey } from "./links.ts";
import type { TenantKeys } from "./tenant-keys.ts";

/** The tokens of a link. */
export interface Held {
  readonly access: Secret;
  /** Milliseconds since the epoch; infinite where the provider names no end. */
  readonly expires: number;
  /** null: when the access token ends, so does the link. */
  readonly refresh: Secret | null;
}

/** What a provider granted, as a link holds it. A refresh without a new refresh token keeps the old one. */
export function heldOf(tokens: OAuthTokens, clock: Clock, before: Secret | null = null): Held {
  const { accessToken, refreshToken, expiresIn } = tokens;
  return {
    access: accessToken,
    expires: expiresIn === null ? Number.POSITIVE_INFINITY : clock() + expiresIn * 1000,
    refresh: refreshToken ?? before,
  };
}

/** Seals tokens with the key of the link's tenant, for this link alone: a row moved elsewhere opens nothing. */
export async function sealHeld(keys: TenantKeys, key: LinkKey, { access, expires, refresh }: Held) {
  const until = Number.isFinite(expires) ? expires : null;
  const text = JSON.stringify([access.reveal(), until, refresh?.reveal() ?? null] satisfies Json);
  return keys.encrypt(key.tenant, contextOf(key), text);
}

/** null: the tenant's key is gone, or this was not sealed for this link. */
export async function openHeld(keys: TenantKeys, key: LinkKey, sealed: string): Promise<Held | null> {
  const text = await keys.decrypt(key.tenant, contextOf(key), sealed);
  if (text === null) return null;
  const parts = JSON.parse(text) as [string, number | null, string | null];
  const [access, expires, refresh] = parts;
  return {
    access: new Secret(access),
    expires: expires ?? Number.POSITIVE_INFINITY,
    refresh: refresh === null ? null : new Secret(refresh),
  };
}

function contextOf({ tenant, issuer, subject, account }: LinkKey): string {
  return JSON.stringify([tenant, issuer, subject, account]);
}
