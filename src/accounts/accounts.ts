import type { IncomingMessage, ServerResponse } from "node:http";
import type { Principal, SharedStore } from "../domain.ts";
import type { Clock } from "../lib/clock.ts";
import { PortcullisError } from "../lib/errors.ts";
import { randomId } from "../lib/ids.ts";
import type { Log } from "../lib/log.ts";
import { createOAuthClient } from "../lib/oauth/client.ts";
import { type ClientConfig, providerOf } from "../lib/oauth/provider.ts";
import type { Secret } from "../lib/secret.ts";
import { createAccessTokens } from "./access.ts";
import { createCookies } from "./cookies.ts";
import type { Database } from "./database.ts";
import { createForms } from "./forms.ts";
import { createLinking } from "./linking.ts";
import { createLinks, type Link, type LinkKey, type Owner, prepare } from "./links.ts";
import { createPages } from "./pages.ts";
import { masterKeyOf } from "./seal.ts";
import { createSealed } from "./sealed.ts";
import { createSignIn, type SignInIssuer } from "./sign-in.ts";
import { createEmbeddedKeys, type KeyKeeper, type TenantKeys } from "./tenant-keys.ts";
import { heldOf, openHeld, sealHeld } from "./tokens.ts";

/** A third party whose accounts users may link. */
export interface AccountConfig extends ClientConfig {
  readonly title?: string | undefined;
  readonly scopes: readonly string[];
  /** Further parameters of the authorization request. */
  readonly parameters: Readonly<Record<string, string>>;
}

/** What a link page is for: an account of this user, asked for by their own agent. */
export interface Ticket extends LinkKey {
  readonly id: string;
}

export interface AccountsOptions {
  readonly publicUrl: string;
  readonly providers: Readonly<Record<string, AccountConfig>>;
  /** Issuers of users' tokens at which they sign in to link. */
  readonly signIn: readonly SignInIssuer[];
  /** 32 bytes in base64 or hexadecimal. */
  readonly masterKey: Secret;
  readonly database: Database;
  /** Default: keys in the database, wrapped by the master key. */
  readonly tenantKeys?: TenantKeys;
  /** Rejects where this user is served no page now, once that is recorded. */
  readonly admit?: (user: Owner, request: IncomingMessage) => Promise<void>;
  /** Remembers what may be used once. */
  readonly store: Pick<SharedStore, "add">;
  /** A user's links changed; `elicitation`: the one that asked for it. For records, and `notifications/elicitation/complete`. */
  readonly onChange?: (change: LinkChange) => void;
  /** How long a caller waits for a refresh, in milliseconds; default 10 s. */
  readonly patienceMs?: number;
  readonly fetch: typeof fetch;
  readonly clock: Clock;
  readonly log: Log;
}

/** `replaced`: it took the place of another link, maybe with another account there. */
export type LinkChange = LinkKey &
  (
    | { readonly what: "linked"; readonly elicitation: string; readonly replaced: boolean }
    | { readonly what: "unlinked" }
  );

/** A link as its user and an operator see it; no secret in it. */
export interface LinkView {
  readonly account: string;
  /** broken: the provider has ended it. */
  readonly state: "linked" | "broken";
  readonly scopes: readonly string[];
  readonly linkedAt: Date;
  readonly refreshedAt: Date;
}

/** What is left to do at the provider after an unlinking. */
export type Unlinked = { readonly found: false } | { readonly found: true; readonly revoked: boolean };

export type { LinkKey, Owner };

/** What shredding did. `keeper`: whose backups from before still hold the key. */
export interface Shredded {
  readonly links: number;
  readonly keeper: KeyKeeper;
}

export interface Accounts {
  /**
   * An access token of the account that this user linked.
   * Rejects with `account_required` and where to link it, `idp_unavailable`, `idp_refused` or `account_unavailable`.
   */
  accessToken(
    account: string,
    principal: Principal,
  ): Promise<{ readonly token: Secret; readonly expires: number; reject(): void }>;
  list(owner: Owner): Promise<readonly LinkView[]>;
  /** Of all users of a tenant, or of those that their issuers name so. */
  inTenant(tenant: string, subject?: string): Promise<readonly (Owner & LinkView)[]>;
  /** Deletes the link, then revokes its tokens at the provider. */
  unlink(key: LinkKey): Promise<Unlinked>;
  /** Destroys the tenant's key and deletes its links: none of them can be read again here. */
  shred(tenant: string): Promise<Shredded>;
  /** Whether this path (no query) is one of the pages: `/accounts` and below. */
  handles(path: string): boolean;
  handle(request: IncomingMessage, response: ServerResponse): void;
  close(): Promise<void>;
}

/** For each request to a provider; two of them fit into the claim on a link. */
const PROVIDER_TIMEOUT_MS = 15_000;
const TICKET_MS = 600_000;

/** Prepares the database. The database stays its opener's to close. */
export async function createAccounts(options: AccountsOptions): Promise<Accounts> {
  const { publicUrl, providers, database, fetch, clock, log, store, onChange = () => {} } = options;
  const master = masterKeyOf(options.masterKey);
  await prepare(database);
  const links = createLinks(database);
  const keys = options.tenantKeys ?? createEmbeddedKeys(database, master);
  const clients = new Map(
    Object.entries(providers).map(([name, config]) => {
      const provider = providerOf(config);
      return [name, createOAuthClient({ provider, timeoutMs: PROVIDER_TIMEOUT_MS, fetch })];
    }),
  );
  const clientOf = (account: string) => clients.get(account);
  const titleOf = (account: string) => providers[account]?.title ?? account;
  const access = createAccessTokens({ ...options, links, keys, clientOf });
  const tickets = createSealed<Ticket>(master, "ticket", clock);

  function required(key: LinkKey, again: boolean): PortcullisError {
    const id = randomId();
    const url = `${publicUrl}/accounts/link/${tickets.close({ ...key, id }, TICKET_MS)}`;
    const title = titleOf(key.account);
    const message = again
      ? `The connection with ${title} has ended: connect the account again to go on.`
      : `Connect your ${title} account to go on.`;
    // UrlElicitationRequiredError (MCP 2025-11-25).
    const data = { elicitations: [{ mode: "url", elicitationId: id, url, message }] };
    return new PortcullisError("account_required", { text: message, data });
  }

  const accounts: Omit<Accounts, "handles" | "handle"> = {
    async accessToken(account, { tenant, issuer, subject }) {
      const key = { tenant, issuer, subject, account };
      const found = await access.of(key);
      if (found.kind !== "linked") throw required(key, found.kind === "broken");
      const { access: token, expires } = found.held;
      return { token, expires, reject: () => access.reject(token) };
    },
    async list(owner) {
      return (await links.of(owner)).map(viewOf);
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
    close: access.close,
  };

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

  const cookies = createCookies(publicUrl);
  const linking = createLinking({
    publicUrl,
    providers,
    clientOf,
    cookies,
    sealed: createSealed(master, "linking", clock),
    tickets,
    store,
    async keep({ id, ...key }, tokens) {
      const scopes = tokens.scope ?? providers[key.account]?.scopes.join(" ") ?? "";
      const sealed = await sealHeld(keys, key, heldOf(tokens, clock));
      // The old one's tokens are not revoked there: if it is the same account, that may end the new ones as well.
      const { replaced } = await links.put(key, sealed, scopes, new Date(clock()));
      onChange({ ...key, what: "linked", elicitation: id, replaced });
    },
  });
  const signIn = createSignIn({ publicUrl, issuers: options.signIn, master, cookies, store, fetch, clock });
  const forms = createForms(publicUrl, master);
  const scopesOf = (account: string) => providers[account]?.scopes ?? [];
  const { admit = async () => {} } = options;
  const pages = createPages({ publicUrl, titleOf, scopesOf, linking, signIn, forms, accounts, admit, log });
  return { ...accounts, ...pages };
}

function viewOf({ account, sealed, scopes, linkedAt, refreshedAt }: Link): LinkView {
  const state = sealed === null ? "broken" : "linked";
  return { account, state, scopes: scopes.split(" ").filter(Boolean), linkedAt, refreshedAt };
}
