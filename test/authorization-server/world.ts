import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach } from "vitest";
import {
  type AuthorizationServer,
  type AuthorizationServerOptions,
  createAuthorizationServer,
} from "../../src/authorization-server/server.ts";
import { createIdentity, type IdentityStage } from "../../src/identity/identity.ts";
import { systemClock } from "../../src/lib/clock.ts";
import { PortcullisError } from "../../src/lib/errors.ts";
import { silentLog } from "../../src/lib/log.ts";
import { Secret } from "../../src/lib/secret.ts";
import { createDirectory } from "../identity/directory.ts";

const closers: (() => unknown)[] = [];
export const later = (close: () => unknown) => void closers.push(close);
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

export const USERS = [
  { subject: "ann", name: "Ann", tenant: "acme", roles: ["support"] },
  { subject: "bob", name: "Bob", tenant: "acme", roles: ["support", "lead"] },
  { subject: "dee", name: 'Dee <script>"', tenant: "globex", roles: ["support"] },
];

export type Serve = (request: IncomingMessage, response: ServerResponse) => void;

export interface World {
  readonly origin: string;
  readonly url: string;
  readonly authorizationServer: AuthorizationServer;
  readonly identity: IdentityStage;
}

/** One origin as a gateway would be: guarded URLs, their metadata, and the authorization server under /oauth. */
export async function aWorld({
  guarded = emptyAnswer,
  ...changes
}: Partial<AuthorizationServerOptions> & { guarded?: Serve } = {}): Promise<World> {
  let serve: Serve = () => {};
  const server = createServer((request, response) => serve(request, response));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  later(async () => {
    server.closeAllConnections();
    server.close();
    await once(server, "close");
  });
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const audience = (name: string) => `${origin}/mcp/${name}`;
  const authorizationServer = createAuthorizationServer({
    issuer: `${origin}/oauth`,
    users: USERS,
    scopes: ["mcp"],
    resources: () => [audience("support"), audience("finance")],
    clock: systemClock,
    log: silentLog,
    ...changes,
  });
  const identity = createIdentity({
    issuers: [
      {
        issuer: authorizationServer.issuer,
        keys: authorizationServer.jwks,
        algorithms: ["ES256"],
        tenant: { claim: "tenant" },
        claims: { roles: "roles" },
      },
    ],
    audience,
    directory: createDirectory({
      tenants: new Map([
        ["acme", {}],
        ["globex", {}],
      ]),
    }),
    clock: systemClock,
    fetch,
    log: silentLog,
    scopes: () => ["mcp"],
  });
  later(identity.close);
  serve = (request, response) => void gateway({ authorizationServer, identity, guarded }, request, response);
  return { origin, url: audience("support"), authorizationServer, identity };
}

function emptyAnswer(_: IncomingMessage, response: ServerResponse): void {
  response.writeHead(204).end();
}

async function gateway(
  {
    authorizationServer,
    identity,
    guarded,
  }: { authorizationServer: AuthorizationServer; identity: IdentityStage; guarded: Serve },
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const [path = ""] = (request.url ?? "").split("?");
  if (authorizationServer.handles(path)) return authorizationServer.handler(request, response);
  const wellKnown = /^\/\.well-known\/oauth-protected-resource\/mcp\/(\w+)$/.exec(path)?.[1];
  if (wellKnown)
    return void response
      .setHeader("content-type", "application/json")
      .end(JSON.stringify(identity.metadata(wellKnown)));
  const name = /^\/mcp\/(\w+)$/.exec(path)?.[1];
  if (name === undefined) return void response.writeHead(404).end();
  try {
    const [, token] = request.headers.authorization?.split(" ") ?? [];
    await identity.authenticate(token === undefined ? undefined : new Secret(token), name);
    guarded(request, response);
  } catch (error) {
    if (!(error instanceof PortcullisError)) throw error;
    response.writeHead(error.row.http, { ...error.headers }).end(error.text);
  }
}

/** A browser without a window: keeps cookies by path, follows redirects on the origin, submits the page's form. */
export function aBrowser(origin: string) {
  const jar = new Map<string, { readonly value: string; readonly path: string }>();

  async function go(url: string, init: RequestInit = {}): Promise<Response> {
    const { pathname } = new URL(url);
    const cookies = [...jar]
      .filter(([, { path }]) => pathname.startsWith(path))
      .map(([name, { value }]) => `${name}=${value}`);
    const response = await fetch(url, {
      ...init,
      redirect: "manual",
      headers: { accept: "text/html", cookie: cookies.join("; "), ...init.headers },
    });
    for (const cookie of response.headers.getSetCookie()) {
      const [, name = "", value = ""] = /^([^=]+)=([^;]*)/.exec(cookie) ?? [];
      jar.set(name, { value, path: /; path=([^;]+)/i.exec(cookie)?.[1] ?? "/" });
    }
    const location = response.headers.get("location");
    const next = location === null ? undefined : new URL(location, url);
    return next?.origin === origin ? go(next.href) : response;
  }

  return {
    /** The page that an authorization URL leads to, with its address. */
    open: (url: string | URL) => go(String(url)),
    /** Opens an authorization URL and clicks a button. The address outside that it leads to, or the last page. */
    async authorize(
      url: string | URL,
      button: Record<string, string>,
    ): Promise<{ callback: URL | undefined; page: Response }> {
      const shown = await go(String(url));
      if (!shown.headers.get("content-type")?.startsWith("text/html") || shown.status !== 200) {
        return { callback: locationOf(shown), page: shown };
      }
      const page = await go(shown.url, { method: "POST", body: new URLSearchParams(button) });
      return { callback: locationOf(page), page };
    },
  };
}

function locationOf(response: Response): URL | undefined {
  const location = response.headers.get("location");
  return location === null ? undefined : new URL(location);
}
