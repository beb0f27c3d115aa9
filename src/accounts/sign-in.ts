import type { IncomingMessage, ServerResponse } from "node:http";
import type { SharedStore, UserKey } from "../domain.ts";
import type { Clock } from "../lib/clock.ts";
import { PortcullisError } from "../lib/errors.ts";
import { randomId } from "../lib/ids.ts";
import { createOAuthClient } from "../lib/oauth/client.ts";
import { type ClientConfig, providerOf } from "../lib/oauth/provider.ts";
import type { Cookies } from "./cookies.ts";
import { createFlow, type Pending } from "./flow.ts";
import { createSealed } from "./sealed.ts";

/** An issuer of users' tokens, with the gateway registered there as an OpenID Connect client. */
export interface SignInIssuer extends ClientConfig {
  readonly issuer: string;
  /** With `openid`. */
  readonly scopes: readonly string[];
  /** Further parameters of the authorization request, such as `resource`. */
  readonly parameters?: Readonly<Record<string, string>>;
  /** The tenant that an ID token's claims name, as configuration reads them; null: none. */
  readonly tenantOf: (claims: Readonly<Record<string, unknown>>) => string | null;
}

/** Who sits at a browser: the user whom the issuer of their tokens just signed in. */
export interface BrowserUser extends UserKey {
  /** Of this sign-in. */
  readonly id: string;
  /** For the pages. */
  readonly name: string;
}

/** Where the browser goes afterwards: one of our own pages, never a place that a request names. */
export type Next = { readonly page: "list" } | { readonly page: "link"; readonly ticket: string };

export type SignedIn = { readonly kind: "signed-in"; readonly next: Next } | { readonly kind: "refused" };

/** Finds out who sits at a browser (MCP, elicitation, "Identifying the User": whoever links must be who was asked). */
export interface SignIn {
  readonly issuers: readonly string[];
  verifyBrowser(request: IncomingMessage): Promise<BrowserUser | null>;
  /** The issuer's sign-in page. `anew`: whoever is signed in there is asked again. */
  begin(
    response: ServerResponse,
    to: { readonly issuer: string; readonly next: Next; readonly anew: boolean },
  ): Promise<URL>;
  finish(request: IncomingMessage, response: ServerResponse, query: string): Promise<SignedIn>;
  signOut(response: ServerResponse): void;
}

const SESSION_MS = 900_000;
const TIMEOUT_MS = 15_000;
const SESSION = "session";
const MAX_NAME = 100;

export interface SignInOptions {
  readonly publicUrl: string;
  readonly issuers: readonly SignInIssuer[];
  readonly master: Uint8Array;
  readonly cookies: Cookies;
  readonly store: Pick<SharedStore, "add">;
  readonly fetch: typeof fetch;
  readonly clock: Clock;
}

export function createSignIn({
  publicUrl,
  issuers,
  master,
  cookies,
  store,
  fetch,
  clock,
}: SignInOptions): SignIn {
  const sessions = createSealed<BrowserUser>(master, "session", clock);
  const sealed = createSealed<Pending<{ issuer: string; next: Next }>>(master, "sign-in", clock);
  const flow = createFlow({ name: "sign-in", sealed, cookies, store });
  const redirectUri = `${publicUrl}/accounts/sign-in/callback`;
  const known = new Map(
    issuers.map((config) => {
      const client = createOAuthClient({ provider: providerOf(config), timeoutMs: TIMEOUT_MS, fetch });
      return [config.issuer, { config, client }];
    }),
  );

  return {
    issuers: [...known.keys()],
    async verifyBrowser(request) {
      return sessions.open(cookies.get(request, SESSION) ?? "");
    },
    async begin(response, { issuer, next, anew }) {
      const found = known.get(issuer);
      if (found === undefined) {
        throw new PortcullisError("internal", { reason: `accounts.sign_in has no client of ${issuer}` });
      }
      const { scopes, parameters = {} } = found.config;
      const asked = { ...parameters, ...(anew && { prompt: "login" }) };
      return flow.begin(response, found.client, { redirectUri, scopes, parameters: asked }, { issuer, next });
    },
    async finish(request, response, query) {
      const callback = new URL(`${redirectUri}?${query}`);
      const pending = flow.find(request, callback);
      const found = known.get(pending?.value.issuer ?? "");
      if (pending === null || found === undefined) return { kind: "refused" };
      const answer = await flow.redeem(response, found.client, callback, pending);
      const claims = answer?.ok ? answer.tokens.claims : null;
      const subject = claims?.sub;
      const tenant = claims === null ? null : found.config.tenantOf(claims);
      if (claims === null || typeof subject !== "string" || tenant === null) return { kind: "refused" };
      const { issuer } = found.config;
      const user = { id: randomId(), issuer, subject, tenant, name: nameIn(claims, subject) };
      cookies.set(response, SESSION, sessions.close(user, SESSION_MS), SESSION_MS);
      return { kind: "signed-in", next: pending.value.next };
    },
    signOut: (response) => cookies.clear(response, SESSION),
  };
}

function nameIn(claims: Readonly<Record<string, unknown>>, subject: string): string {
  const { name, preferred_username, email } = claims;
  const found = [name, preferred_username, email].find((one) => typeof one === "string" && one !== "");
  return String(found ?? subject).slice(0, MAX_NAME);
}
