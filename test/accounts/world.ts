import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach } from "vitest";
import {
  type Accounts,
  type AccountsOptions,
  createAccounts,
  type LinkChange,
} from "../../src/accounts/accounts.ts";
import type { Database } from "../../src/accounts/database.ts";
import { createAuthorizationServer } from "../../src/authorization-server/server.ts";
import type { Principal } from "../../src/domain.ts";
import { systemClock } from "../../src/lib/clock.ts";
import { PortcullisError } from "../../src/lib/errors.ts";
import { type Log, silentLog } from "../../src/lib/log.ts";
import { plainPrincipal } from "../../src/lib/principal.ts";
import { Secret } from "../../src/lib/secret.ts";
import { createMemoryStore } from "../../src/store/memory.ts";
import { aBrowser, type Browser, type Shown } from "./browser.ts";
import { aThirdParty, SECRET, type ThirdParty } from "./third-party.ts";

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});
export const later = (close: () => unknown) => void closers.push(close);

const USERS = [
  { subject: "ann", name: 'Ann <script>alert(1)</script>"', tenant: "acme", roles: [] },
  { subject: "bob", name: "Bob", tenant: "acme", roles: [] },
  { subject: "dee", name: "Dee", tenant: "globex", roles: [] },
];

export interface World {
  readonly origin: string;
  /** The issuer of the users' tokens. */
  readonly issuer: string;
  readonly accounts: Accounts;
  readonly options: AccountsOptions;
  readonly hub: ThirdParty;
  readonly changes: LinkChange[];
  readonly logged: unknown[];
  principal(subject: string, tenant?: string): Principal;
  /** Where an agent of this user is told to link, and the elicitation's id. */
  elicited(principal: Principal, account?: string): Promise<{ readonly url: string; readonly id: string }>;
  /** Opens an address as this user, who signs in when asked. */
  open(browser: Browser, url: string, user: string): Promise<Shown>;
  /** The whole way. */
  link(principal: Principal, browser?: Browser): Promise<Shown>;
}

/** A gateway's origin with its pages and an issuer of users, and a provider of accounts called `hub`. */
export async function aWorld(database: Database, changes: Partial<AccountsOptions> = {}): Promise<World> {
  const server = createServer((request, response) => {
    const path = request.url?.split("?")[0] ?? "";
    if (accounts.handles(path)) accounts.handle(request, response);
    else if (embedded.handles(path)) embedded.handler(request, response);
    else response.writeHead(404).end();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  later(() => {
    server.closeAllConnections();
    server.close();
  });
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const embedded = createAuthorizationServer({
    issuer: `${origin}/oauth`,
    users: USERS,
    scopes: ["mcp"],
    resources: () => [`${origin}/accounts`],
    clients: [
      {
        client_id: "portcullis-accounts",
        client_name: "Portcullis",
        redirect_uris: [`${origin}/accounts/sign-in/callback`],
      },
    ],
    clock: systemClock,
    log: silentLog,
  });
  const hub = await aThirdParty([`${origin}/accounts/callback/hub`, `${origin}/accounts/callback/lab`]);
  later(hub.close);
  const changed: LinkChange[] = [];
  const logged: unknown[] = [];
  const client = {
    issuer: hub.issuer,
    client_id: "gateway",
    client_secret: new Secret(SECRET),
    parameters: {},
  };
  const options: AccountsOptions = {
    publicUrl: origin,
    providers: {
      hub: { ...client, title: 'Hub <b>"', scopes: ["openid", "offline_access", "read"] },
      lab: { ...client, scopes: ["openid", "read"] },
    },
    signIn: [
      {
        issuer: embedded.issuer,
        client_id: "portcullis-accounts",
        scopes: ["openid"],
        parameters: { resource: `${origin}/accounts` },
        tenantOf: ({ tenant }) => (typeof tenant === "string" ? tenant : null),
      },
    ],
    masterKey: new Secret(randomBytes(32).toString("base64")),
    database,
    store: createMemoryStore({ clock: systemClock }),
    onChange: (change) => changed.push(change),
    fetch,
    clock: systemClock,
    log: logTo(logged),
    ...changes,
  };
  const accounts = await createAccounts(options);
  later(accounts.close);

  const world: World = {
    origin,
    issuer: embedded.issuer,
    accounts,
    options,
    hub,
    changes: changed,
    logged,
    principal: (subject, tenant = "acme") => principalOf(embedded.issuer, subject, tenant),
    async elicited(principal, account = "hub") {
      const error: unknown = await accounts.accessToken(account, principal).catch((thrown) => thrown);
      if (!(error instanceof PortcullisError) || error.code !== "account_required") throw error;
      const [found] = (error.data as { elicitations: { url: string; elicitationId: string }[] }).elicitations;
      return { url: found?.url ?? "", id: found?.elicitationId ?? "" };
    },
    async open(browser, url, user) {
      const shown = await browser.go(url);
      return shown.url.pathname.startsWith("/oauth/interaction/") ? browser.submit(shown, { user }) : shown;
    },
    async link(principal, browser = aBrowser()) {
      const { url } = await world.elicited(principal);
      return browser.submit(await world.open(browser, url, principal.subject));
    },
  };
  return world;
}

function principalOf(issuer: string, subject: string, tenant: string): Principal {
  return plainPrincipal({ kind: "user", issuer, subject, tenant });
}

function logTo(logged: unknown[]): Log {
  const write = (...said: unknown[]): void => void logged.push(said);
  return { debug: write, info: write, warn: write, error: write };
}
