import type { IncomingMessage, ServerResponse } from "node:http";
import type { SharedStore, UserKey } from "../domain.ts";
import type { ClientConfig, OAuthClient, OAuthTokens } from "../lib/oauth/provider.ts";
import type { Cookies } from "./cookies.ts";
import { createFlow, FLOW_MS, type Pending } from "./flow.ts";
import type { Sealed } from "./sealed.ts";
import type { Ticket, Tickets } from "./tickets.ts";

/** A third party whose accounts users may link. */
export interface AccountConfig extends ClientConfig {
  readonly title?: string | undefined;
  readonly scopes: readonly string[];
  /** Further parameters of the authorization request. */
  readonly parameters: Readonly<Record<string, string>>;
}

export interface LinkingOptions {
  readonly publicUrl: string;
  readonly providers: Readonly<Record<string, AccountConfig>>;
  readonly clientOf: (account: string) => OAuthClient | undefined;
  readonly tickets: Pick<Tickets, "open">;
  readonly sealed: Sealed<Pending<Ticket>>;
  readonly cookies: Cookies;
  readonly store: Pick<SharedStore, "add">;
  readonly keep: (ticket: Ticket, tokens: OAuthTokens) => Promise<void>;
}

/** unknown: not of this browser, this user or this account, or too late. refused: the provider's error code. */
export type Linked =
  | { readonly kind: "linked" }
  | { readonly kind: "unknown" }
  | { readonly kind: "used" }
  | { readonly kind: "refused"; readonly error: string };

/** From a ticket to a link: only ever for the user whom the ticket names, in the browser that began. */
export interface Linking {
  has(account: string): boolean;
  ticket(text: string): Ticket | null;
  /** The provider's page; null: the ticket was used before. */
  begin(response: ServerResponse, ticket: Ticket): Promise<URL | null>;
  finish(
    request: IncomingMessage,
    response: ServerResponse,
    came: { readonly account: string; readonly query: string; readonly user: UserKey | null },
  ): Promise<Linked>;
}

export function createLinking(options: LinkingOptions): Linking {
  const { publicUrl, providers, clientOf, tickets, sealed, cookies, store, keep } = options;
  const flow = createFlow({ name: "link", sealed, cookies, store });
  // One for each account: a provider's code that is brought to another's URI is not redeemed (RFC 9700 section 4.4).
  const redirectUri = (account: string): string => `${publicUrl}/accounts/callback/${account}`;

  const has = (account: string): boolean => Object.hasOwn(providers, account);

  return {
    has,
    ticket(text) {
      const ticket = tickets.open(text);
      return ticket !== null && has(ticket.account) ? ticket : null;
    },
    async begin(response, ticket) {
      const { account, id } = ticket;
      const client = clientOf(account);
      const provider = providers[account];
      if (client === undefined || provider === undefined) return null;
      const { scopes, parameters } = provider;
      const url = await flow.begin(
        response,
        client,
        { redirectUri: redirectUri(account), scopes, parameters },
        ticket,
      );
      return (await store.add(`accounts:ticket:${id}`, "used", 2 * FLOW_MS)) ? url : null;
    },
    async finish(request, response, { account, query, user }) {
      const callback = new URL(`${redirectUri(account)}?${query}`);
      const pending = flow.find(request, callback);
      const client = clientOf(account);
      if (pending === null || client === undefined || user === null) return { kind: "unknown" };
      if (pending.value.account !== account || !sameUser(pending.value, user)) return { kind: "unknown" };
      const answer = await flow.redeem(response, client, callback, pending);
      if (answer === null) return { kind: "used" };
      if (!answer.ok) return { kind: "refused", error: answer.error };
      await keep(pending.value, answer.tokens);
      return { kind: "linked" };
    },
  };
}

/** Compared part by part: two issuers may each have their own "ann". */
export function sameUser(one: UserKey, other: UserKey): boolean {
  return one.tenant === other.tenant && one.issuer === other.issuer && one.subject === other.subject;
}
