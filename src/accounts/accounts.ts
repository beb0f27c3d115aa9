import type { IncomingMessage } from "node:http";
import type { Principal, SharedStore, UserKey } from "../domain.ts";
import type { Clock } from "../lib/clock.ts";
import type { Log } from "../lib/log.ts";
import { createOAuthClient } from "../lib/oauth/client.ts";
import { providerOf } from "../lib/oauth/provider.ts";
import type { Secret } from "../lib/secret.ts";
import { createAccessTokens } from "./access.ts";
import { createCookies } from "./cookies.ts";
import type { Database } from "./database.ts";
import { createForms } from "./forms.ts";
import { createKeptLinks, type KeptLinks, type LinkChange } from "./kept-links.ts";
import { type AccountConfig, createLinking } from "./linking.ts";
import { createLinks, prepare } from "./links.ts";
import { createPages, type Pages } from "./pages.ts";
import { masterKeyOf } from "./seal.ts";
import { createSealed } from "./sealed.ts";
import { createSignIn, type SignInIssuer } from "./sign-in.ts";
import { createEmbeddedKeys, type TenantKeys } from "./tenant-keys.ts";
import { createTickets } from "./tickets.ts";

export type { LinkChange, LinkView, Shredded } from "./kept-links.ts";
export type { LinkKey } from "./links.ts";

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
  readonly admit?: (user: UserKey, request: IncomingMessage) => Promise<void>;
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

export interface Accounts extends Omit<KeptLinks, "keep">, Pages {
  /**
   * An access token of the account that this user linked.
   * Rejects with `account_required` and where to link it, `idp_unavailable`, `idp_refused` or `account_unavailable`.
   */
  accessToken(
    account: string,
    principal: Principal,
  ): Promise<{ readonly token: Secret; readonly expires: number; reject(): void }>;
  close(): Promise<void>;
}

/** For each request to a provider; two of them fit into the claim on a link. */
const PROVIDER_TIMEOUT_MS = 15_000;

/** Prepares the database. The database stays its opener's to close. */
export async function createAccounts(options: AccountsOptions): Promise<Accounts> {
  const { publicUrl, providers, database, fetch, clock, log, store } = options;
  const { onChange = () => {}, admit = async () => {} } = options;
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
  const scopesOf = (account: string) => providers[account]?.scopes ?? [];

  const access = createAccessTokens({ ...options, links, keys, clientOf });
  const { keep, ...kept } = createKeptLinks({ links, keys, clientOf, scopesOf, onChange, clock, log });
  const tickets = createTickets({ publicUrl, master, titleOf, clock });
  const cookies = createCookies(publicUrl);
  const linking = createLinking({
    publicUrl,
    providers,
    clientOf,
    cookies,
    sealed: createSealed(master, "linking", clock),
    tickets,
    store,
    keep: ({ id, ...key }, tokens) => keep(key, tokens, id),
  });
  const signIn = createSignIn({ publicUrl, issuers: options.signIn, master, cookies, store, fetch, clock });
  const forms = createForms(publicUrl, master);
  const pages = createPages({ publicUrl, titleOf, scopesOf, linking, signIn, forms, kept, admit, log });

  return {
    ...kept,
    ...pages,
    async accessToken(account, { tenant, issuer, subject }) {
      const key = { tenant, issuer, subject, account };
      const found = await access.of(key);
      if (found.kind !== "linked") throw tickets.required(key, found.kind === "broken");
      const { access: token, expires } = found.held;
      return { token, expires, reject: () => access.reject(token) };
    },
    close: access.close,
  };
}
