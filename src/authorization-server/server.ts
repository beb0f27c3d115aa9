import type { IncomingMessage, ServerResponse } from "node:http";
import type { Clock } from "../lib/clock.ts";
import { randomId } from "../lib/ids.ts";
import type { JsonObject } from "../lib/json.ts";
import type { Log } from "../lib/log.ts";
import { isLoopback } from "../lib/loopback.ts";
import { Secret } from "../lib/secret.ts";
import { createInteraction } from "./interaction.ts";
import { ACCESS_TOKEN_TTL, loadProvider, type ProviderOptions } from "./provider.ts";
import { openSigningKey } from "./signing-key.ts";
import { claimsOf, type SampleUser } from "./users.ts";

export interface AuthorizationServerOptions
  extends Pick<ProviderOptions, "resources" | "clients" | "clientMetadata"> {
  /** `<origin>/oauth`: where it is mounted, and the `iss` of its tokens. */
  readonly issuer: string;
  readonly users: readonly SampleUser[];
  /** Scopes that a token for a guarded URL may carry; the first where a client asks for none. */
  readonly scopes: readonly string[];
  /** A PEM file of the signing key, so that another process can mint; made if there is none. Without: in memory. */
  readonly keyFile?: string;
  readonly clock: Clock;
  readonly log: Log;
}

interface MintOptions {
  /** A sample user's subject. */
  readonly subject: string;
  /** The guarded URL that the token is for. */
  readonly resource: string;
  readonly scopes: readonly string[];
  /** Seconds since the epoch; default now. */
  readonly authTime?: number;
}

/** The embedded authorization server: OAuth 2.1 with sample users, for demonstrations, tests and local use. */
export interface AuthorizationServer {
  readonly issuer: string;
  /** The public keys, for who verifies in this process. */
  jwks(): Promise<JsonObject>;
  /** Whether a request with this path (no query) is its own: all under the mount, and its RFC 8414 documents. */
  handles(path: string): boolean;
  /** Answers a request that it handles, by its whole URL, mounted in Express or not. The body must be unread. */
  handler(request: IncomingMessage & { originalUrl?: string }, response: ServerResponse): void;
  /** An access token as the token endpoint would issue it. Throws for an unknown user or resource. */
  mint(options: MintOptions): Promise<Secret>;
}

export function createAuthorizationServer(options: AuthorizationServerOptions): AuthorizationServer {
  const issuer = issuerUrl(options);
  const mount = issuer.pathname;
  const users = new Map(options.users.map((user) => [user.subject, user]));
  const key = openSigningKey(options.keyFile);
  const documents = new Map(
    ["oauth-authorization-server", "openid-configuration"].map((name) => [
      `/.well-known/${name}${mount}`,
      `${mount}/.well-known/${name}`,
    ]),
  );
  let loading: ReturnType<typeof load> | undefined;

  async function load() {
    const provider = await loadProvider({ ...options, issuer, users, key });
    return { answer: provider.callback(), interact: createInteraction(provider, users) };
  }

  function loaded() {
    loading ??= load();
    return loading;
  }

  async function dispatch(
    request: IncomingMessage & { originalUrl?: string },
    response: ServerResponse,
  ): Promise<void> {
    // Its cookies and forms are worth a token: another name for this address (DNS rebinding) gets none of them.
    if (request.headers.host !== issuer.host) return refuse(response, 403);
    const [path = "", ...query] = (request.originalUrl ?? request.url ?? "").split("?");
    const own = documents.get(path) ?? path;
    if (!own.startsWith(`${mount}/`)) return refuse(response, 404);
    const asked = own === `${mount}/auth` ? [withScope(query.join("?"), options.scopes)] : query;
    request.originalUrl = [own, ...asked].join("?");
    request.url = request.originalUrl.slice(mount.length);
    const { answer, interact } = await loaded();
    if (request.url.startsWith("/interaction/")) return interact(request, response);
    await answer(request, response);
  }

  return {
    issuer: issuer.href,
    jwks: async () => key.jwks,
    handles: (path) => path.startsWith(`${mount}/`) || documents.has(path),
    handler(request, response) {
      dispatch(request, response).catch((error: unknown) => {
        options.log.error({ error: String(error) }, "the authorization server failed");
        refuse(response, 500);
      });
    },
    async mint({ subject, resource, scopes, authTime }) {
      const user = users.get(subject);
      if (user === undefined) throw new TypeError(`there is no sample user ${subject}`);
      if (!options.resources().includes(resource)) throw new TypeError(`${resource} is not guarded here`);
      const now = Math.floor(options.clock() / 1_000);
      const claims = {
        ...claimsOf(user, authTime ?? now),
        jti: randomId(),
        sub: subject,
        iat: now,
        exp: now + ACCESS_TOKEN_TTL,
        scope: scopes.join(" "),
        client_id: "portcullis",
        iss: issuer.href,
        aud: resource,
      };
      return new Secret(key.sign(claims, "at+jwt"));
    },
  };
}

/** A client that asks for no scope is given the usual one (RFC 6749 section 3.3). */
function withScope(query: string, [usual = ""]: readonly string[]): string {
  return new URLSearchParams(query).has("scope") ? query : `${query}&scope=${encodeURIComponent(usual)}`;
}

function issuerUrl({ issuer }: AuthorizationServerOptions): URL {
  const url = new URL(issuer);
  if (url.href !== issuer || url.pathname === "/" || issuer.endsWith("/")) {
    throw new TypeError(`the issuer must be an origin and a path, as URLs are written: ${issuer}`);
  }
  if (!isLoopback(url.hostname))
    throw new TypeError(`sample users have no passwords: ${url.host} is not loopback`);
  return url;
}

function refuse(response: ServerResponse, status: number): void {
  if (!response.headersSent) response.writeHead(status, { "cache-control": "no-store" });
  response.end();
}
