import type { UserKey } from "../domain.ts";
import type { Clock } from "../lib/clock.ts";
import type { Log } from "../lib/log.ts";
import type { OAuthClient, OAuthTokens } from "../lib/oauth/provider.ts";
import type { Link, LinkKey, Links } from "./links.ts";
import type { KeyKeeper, TenantKeys } from "./tenant-keys.ts";
import { heldOf, openHeld, sealHeld } from "./tokens.ts";

/** A link as its user and an operator see it; no secret in it. */
export interface LinkView {
  readonly account: string;
  /** broken: the provider has ended it. */
  readonly state: "linked" | "broken";
  readonly scopes: readonly string[];
  readonly linkedAt: Date;
  readonly refreshedAt: Date;
}

/** `replaced`: it took the place of another link, maybe with another account there. */
export type LinkChange = LinkKey &
  (
    | { readonly what: "linked"; readonly elicitation: string; readonly replaced: boolean }
    | { readonly what: "unlinked" }
  );

/** What is left to do at the provider after an unlinking. */
export type Unlinked = { readonly found: false } | { readonly found: true; readonly revoked: boolean };

/** What shredding did. `keeper`: whose backups from before still hold the key. */
export interface Shredded {
  readonly links: number;
  readonly keeper: KeyKeeper;
}

/** From linking to the end of a link: for its user, and for an operator. */
export interface KeptLinks {
  /** `elicitation`: the one that asked for it. */
  keep(key: LinkKey, tokens: OAuthTokens, elicitation: string): Promise<void>;
  list(user: UserKey): Promise<readonly LinkView[]>;
  /** Of all users of a tenant, or of those that their issuers name so. */
  inTenant(tenant: string, subject?: string): Promise<readonly (UserKey & LinkView)[]>;
  /** Deletes the link, then revokes its tokens at the provider. */
  unlink(key: LinkKey): Promise<Unlinked>;
  /** Destroys the tenant's key and deletes its links: none of them can be read again here. */
  shred(tenant: string): Promise<Shredded>;
}

export interface KeptLinksOptions {
  readonly links: Links;
  readonly keys: TenantKeys;
  /** The account's provider; undefined: configuration has it no more. */
  readonly clientOf: (account: string) => OAuthClient | undefined;
  /** What is asked for there. */
  readonly scopesOf: (account: string) => readonly string[];
  readonly onChange: (change: LinkChange) => void;
  readonly clock: Clock;
  readonly log: Log;
}

export function createKeptLinks(options: KeptLinksOptions): KeptLinks {
  const { links, keys, clientOf, scopesOf, onChange, clock, log } = options;

  async function revokeAtProvider(key: LinkKey, sealed: string): Promise<boolean> {
    try {
      const held = await openHeld(keys, key, sealed);
      if (held === null) return false;
      return (await clientOf(key.account)?.revoke(held.refresh ?? held.access)) === "revoked";
    } catch {
      log.warn({ account: key.account }, "a provider could not be told that a link has ended");
      return false;
    }
  }

  return {
    async keep(key, tokens, elicitation) {
      const scopes = tokens.scope ?? scopesOf(key.account).join(" ");
      const sealed = await sealHeld(keys, key, heldOf(tokens, clock));
      // The old one's tokens are not revoked there: if it is the same account, that may end the new ones as well.
      const { replaced } = await links.put(key, sealed, scopes, new Date(clock()));
      onChange({ ...key, what: "linked", elicitation, replaced });
    },
    async list(user) {
      return (await links.of(user)).map(viewOf);
    },
    async inTenant(tenant, subject) {
      const found = await links.inTenant(tenant, subject);
      return found.map((link) => ({ tenant, issuer: link.issuer, subject: link.subject, ...viewOf(link) }));
    },
    async unlink(key) {
      const gone = await links.remove(key);
      if (gone === undefined) return { found: false };
      // What is held with it ends now: the provider may be long in answering.
      onChange({ ...key, what: "unlinked" });
      return { found: true, revoked: gone.sealed === null || (await revokeAtProvider(key, gone.sealed)) };
    },
    async shred(tenant) {
      await keys.destroy(tenant);
      return { links: await links.removeTenant(tenant), keeper: keys.keeper };
    },
  };
}

function viewOf({ account, sealed, scopes, linkedAt, refreshedAt }: Link): LinkView {
  const state = sealed === null ? "broken" : "linked";
  return { account, state, scopes: scopes.split(" ").filter(Boolean), linkedAt, refreshedAt };
}
