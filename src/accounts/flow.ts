import { createHash, randomBytes } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { SharedStore } from "../domain.ts";
import type { OAuthAnswer, OAuthClient } from "../lib/oauth/provider.ts";
import type { Cookies } from "./cookies.ts";
import type { Sealed } from "./sealed.ts";

/** How long a person may take at the provider. */
export const FLOW_MS = 600_000;

/** One authorization request under way. It is kept in the browser that makes it, sealed: no other can finish it. */
export interface Pending<T> {
  readonly state: string;
  /** PKCE. */
  readonly verifier: string;
  /** "" where no ID token is asked for. */
  readonly nonce: string;
  readonly value: T;
}

export interface FlowOptions<T> {
  /** Part of the cookies' names. */
  readonly name: string;
  readonly sealed: Sealed<Pending<T>>;
  readonly cookies: Cookies;
  readonly store: Pick<SharedStore, "add">;
}

/** Authorization code with PKCE, state and nonce: to a provider and back, in one browser, once. */
export interface Flow<T> {
  /** The provider's page, and a cookie for the way back. */
  begin(
    response: ServerResponse,
    client: OAuthClient,
    request: {
      readonly redirectUri: string;
      readonly scopes: readonly string[];
      readonly parameters: Parameters;
    },
    value: T,
  ): Promise<URL>;
  /** What this callback is the end of; null: nothing that this browser began, or too late. */
  find(request: IncomingMessage, callback: URL): Pending<T> | null;
  /** The provider's answer; null: the callback was used before. */
  redeem(
    response: ServerResponse,
    client: OAuthClient,
    callback: URL,
    pending: Pending<T>,
  ): Promise<OAuthAnswer | null>;
}

type Parameters = Readonly<Record<string, string>>;

export function createFlow<T>({ name, sealed, cookies, store }: FlowOptions<T>): Flow<T> {
  /** Each under its own name, so that two may be under way in one browser. */
  const cookieOf = (state: string): string => `${name}-${state.slice(0, 8)}`;

  return {
    async begin(response, client, { redirectUri, scopes, parameters }, value) {
      const pending = {
        state: random(),
        verifier: random(),
        nonce: scopes.includes("openid") ? random() : "",
        value,
      };
      const url = await client.authorizationUrl({
        ...parameters,
        redirect_uri: redirectUri,
        ...(scopes.length > 0 && { scope: scopes.join(" ") }),
        state: pending.state,
        code_challenge: createHash("sha256").update(pending.verifier).digest("base64url"),
        code_challenge_method: "S256",
        ...(pending.nonce !== "" && { nonce: pending.nonce }),
      });
      cookies.set(response, cookieOf(pending.state), sealed.close(pending, FLOW_MS), FLOW_MS);
      return url;
    },
    find(request, callback) {
      const [state = "", ...more] = callback.searchParams.getAll("state");
      if (more.length > 0 || !/^[\w-]{43}$/.test(state)) return null;
      const pending = sealed.open(cookies.get(request, cookieOf(state)) ?? "");
      return pending?.state === state ? pending : null;
    },
    async redeem(response, client, callback, { state, verifier, nonce }) {
      if (!(await store.add(`accounts:${name}:${state}`, "used", FLOW_MS))) return null;
      cookies.clear(response, cookieOf(state));
      return client.redeem(callback, { state, verifier, ...(nonce !== "" && { nonce }) });
    },
  };
}

/** 256 bits, as a PKCE verifier needs at least. */
function random(): string {
  return randomBytes(32).toString("base64url");
}
