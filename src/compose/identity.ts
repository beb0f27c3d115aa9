import { join } from "node:path";
import { type AuthorizationServer, createAuthorizationServer } from "../authorization-server/server.ts";
import type { Config } from "../config/config.ts";
import { createIdentity, type IdentityStage } from "../identity/identity.ts";
import type { IssuerOptions } from "../identity/token.ts";
import type { Runs } from "../runs/runs.ts";
import { signInAt } from "./accounts.ts";
import type { Ground } from "./ground.ts";
import { audienceOf, RUNS } from "./runs.ts";
import type { Tenancy } from "./tenancy.ts";

/** What the embedded authorization server's tokens may carry, whatever a virtual server needs beside it. */
const SCOPE = "mcp";

export interface OpenIdentity {
  readonly identity: IdentityStage;
  /** null: tokens come from configured issuers only. */
  readonly embedded: AuthorizationServer | null;
}

/** Who asks, by their token; and the authorization server that gives sample users theirs, or null. */
export function openIdentity(
  ground: Ground,
  { directory }: Pick<Tenancy, "directory">,
  runs: Runs | null,
): OpenIdentity {
  const { config, urlOf, log, clock, closing } = ground;
  const embedded = createEmbedded({ config, urlOf, log, clock });
  const identity = createIdentity({
    issuers: issuersOf(config, embedded),
    audience: audienceOf(config, urlOf),
    ...(runs !== null && { runs }),
    directory,
    scopes: (server) => config.servers[server]?.scopes ?? [],
    clock,
    fetch,
    log,
  });
  closing.add(identity, (opened) => opened.close());
  return { identity, embedded };
}

/** The authorization server under `/oauth` with the configured sample users, or null. */
function createEmbedded({
  config,
  urlOf,
  log,
  clock,
}: Pick<Ground, "config" | "urlOf" | "log" | "clock">): AuthorizationServer | null {
  if (config.authorization_server === null) return null;
  const users = Object.entries(config.authorization_server.users).map(([subject, user]) => ({
    subject,
    name: user.name ?? subject,
    tenant: user.tenant,
    roles: user.roles,
  }));
  const signIn = signInAt(config);
  return createAuthorizationServer({
    issuer: `${config.listen.public_url}/oauth`,
    users,
    resources: () => [
      ...[...Object.keys(config.servers), ...(config.runs ? [RUNS] : [])].map(audienceOf(config, urlOf)),
      ...signIn.resources,
    ],
    clients: signIn.clients,
    scopes: [...new Set([SCOPE, ...Object.values(config.servers).flatMap(({ scopes }) => scopes)])],
    keyFile: join(config.state.path, "authorization-server.pem"),
    clock,
    log,
  });
}

/** The issuers whose tokens are accepted: the configured ones and the embedded one. */
function issuersOf(config: Config, embedded: AuthorizationServer | null): readonly IssuerOptions[] {
  const own: IssuerOptions[] =
    embedded === null
      ? []
      : [
          {
            issuer: embedded.issuer,
            keys: () => embedded.jwks(),
            algorithms: ["ES256"],
            tenant: { claim: "tenant" },
            claims: { roles: "roles" },
          },
        ];
  return [...config.issuers.map(issuerOf), ...own];
}

function issuerOf({ claims, ...issuer }: Config["issuers"][number]): IssuerOptions {
  const named = Object.fromEntries(Object.entries(claims).filter(([, claim]) => claim !== undefined));
  return { ...issuer, claims: named };
}
