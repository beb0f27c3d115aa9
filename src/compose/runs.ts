import type { Config } from "../config/config.ts";
import type { Principal } from "../domain.ts";
import { readBody } from "../http/body.ts";
import { clientIpOf } from "../http/client-ip.ts";
import { createHeadCheck } from "../http/head.ts";
import { checkContent } from "../http/headers.ts";
import type { Mount } from "../http/http.ts";
import { sendJson } from "../http/reply.ts";
import type { IdentityStage } from "../identity/identity.ts";
import { createRunTokens } from "../identity/run-token.ts";
import type { Clock } from "../lib/clock.ts";
import { randomId } from "../lib/ids.ts";
import type { Log } from "../lib/log.ts";
import type { Secret } from "../lib/secret.ts";
import { BODY_VALUES, parseStrict } from "../lib/strict-json.ts";
import type { RunRecords } from "../runs/records.ts";
import { createRunRoute, type Edge, RUNS } from "../runs/route.ts";
import { createRuns, type Runs, type RunsOptions } from "../runs/runs.ts";

export { RUNS };

type Settings = Pick<Config, "listen" | "servers" | "credentials" | "runs">;

export interface RunsParts
  extends Pick<RunsOptions, "store" | "seal" | "overBefore" | "clock" | "log" | "sweepMs"> {
  readonly config: Settings;
  urlOf(server: string): string;
  /** What `seal` was made from. */
  readonly key: Secret | Buffer;
}

/** Where tokens are for: a virtual server's URL, or that of `/runs`. */
export function audienceOf(config: Settings, urlOf: (server: string) => string): (server: string) => string {
  return (server) => (server === RUNS ? config.listen.public_url + RUNS : urlOf(server));
}

/** null: they are not configured. */
export async function openRuns(parts: RunsParts): Promise<Runs | null> {
  const { config, key, clock } = parts;
  if (config.runs === undefined) return null;
  const { credentials, listen } = config;
  return createRuns({
    ...parts,
    tokens: createRunTokens({ key, issuer: listen.public_url, clock }),
    accountOf(name) {
      const source = Object.hasOwn(credentials, name) ? credentials[name] : undefined;
      return source?.type === "connected-account" ? source.account : undefined;
    },
    limits: config.runs,
    newId: randomId,
  });
}

/** The route under which they are begun, listed and ended. */
export function runsMount(parts: {
  readonly config: Settings;
  readonly runs: Runs;
  readonly identity: Pick<IdentityStage, "authenticateOwn">;
  readonly records: RunRecords;
  admit(principal: Principal): void;
  mayUse(tenant: string, server: string): boolean;
  readonly clock: Clock;
  readonly log: Log;
}): Mount {
  const { config } = parts;
  const route = createRunRoute({
    ...parts,
    edge: edgeOf(config),
    servers: new Map(Object.entries(config.servers).map(([name, { scopes }]) => [name, scopes])),
    admins: config.runs?.admins ?? [],
    maxTtl: config.runs?.max_ttl ?? 0,
  });
  return {
    path: "/",
    handler(request, response, next) {
      if (!route.handle(request, response)) next();
    },
  };
}

/** The checks of the guarded URLs, for a route beside them. No browser's page is served: there is no CORS. */
function edgeOf({ listen }: Settings): Edge {
  const { public_url: publicUrl, allowed_hosts: allowedHosts } = listen;
  return {
    check: createHeadCheck({ publicUrl, allowedHosts, allowedOrigins: [] }),
    async json(request, { bytes, depth }) {
      checkContent(request);
      return parseStrict(await readBody(request, bytes), { maxDepth: depth, maxValues: BODY_VALUES });
    },
    clientIp: ({ socket }) => clientIpOf(socket),
    reply: sendJson,
  };
}
