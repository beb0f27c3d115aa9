import type { Config } from "../config/config.ts";
import { resolveSecret } from "../config/secret.ts";
import type { Credentials } from "../credential/credentials.ts";
import type { Principal, Upstream } from "../domain.ts";
import { MOST_HELD } from "../gate/held.ts";
import { PortcullisError } from "../lib/errors.ts";
import type { JsonObject } from "../lib/json.ts";
import { plainPrincipal } from "../lib/principal.ts";
import { Secret } from "../lib/secret.ts";
import { discreet, type Given } from "../upstream/discreet.ts";
import { createHttpUpstream } from "../upstream/http.ts";
import { createOrphanGuard, type OrphanGuard } from "../upstream/orphans.ts";
import { createStdioUpstream } from "../upstream/stdio.ts";
import type { Ground } from "./ground.ts";
import { secretsOf } from "./secrets.ts";
import type { Sharing } from "./sharing.ts";
import { GATEWAY_TENANT, type Share } from "./tenancy.ts";

export interface UpstreamParts extends Pick<Ground, "config" | "env" | "log" | "clock"> {
  readonly credentials: Pick<Credentials, "obtain">;
  /** How many of so many sessions or processes of one upstream a tenant may have. */
  readonly share: Share;
  /** Through which replicas go on with each other's upstream sessions; null: there is one replica. */
  readonly shared: Pick<Sharing, "store" | "seal"> | null;
  /** The gateway's own `clientInfo`. */
  readonly clientInfo: JsonObject;
}

type Settings = Config["upstreams"][string];

/** The configured upstreams by name. None is connected yet. */
export async function openUpstreams(parts: UpstreamParts): Promise<ReadonlyMap<string, Upstream>> {
  const orphans = createOrphanGuard(parts.log);
  const entries = Object.entries(parts.config.upstreams).map(
    async ([name, settings]) => [name, await open(name, settings, { ...parts, orphans })] as const,
  );
  return new Map(await Promise.all(entries));
}

interface StdioParts extends UpstreamParts {
  readonly orphans: OrphanGuard;
}

async function open(name: string, settings: Settings, parts: StdioParts): Promise<Upstream> {
  const { clientInfo, orphans, shared, share, log, clock } = parts;
  if (settings.transport === "http") {
    const { url, ca, era, credential } = settings;
    const given: Given[] = [];
    const upstream = createHttpUpstream({
      name,
      url,
      ...(ca !== undefined && { ca: await secretsOf(parts).readFile(ca) }),
      era,
      clientInfo,
      ...(credential !== undefined && { credential: () => ownCredential(credential, name, given, parts) }),
      ...(shared !== null && { shared }),
      share,
      // One each for whatever may be under way: nobody's slow calls keep the others' waiting.
      limits: { connections: parts.config.limits.in_flight + MOST_HELD },
      log,
      clock,
    });
    return discreet(upstream, given);
  }
  const [command = "", ...args] = settings.command;
  const env = await environmentOf(settings, parts);
  const secrets = Object.values(env).filter((value) => value instanceof Secret);
  const upstream = createStdioUpstream({
    name,
    era: "auto",
    command,
    args,
    env,
    cwd: settings.cwd,
    isolation: settings.isolation,
    timeouts: { idleMs: settings.idle_ms },
    limits: { children: settings.max_children },
    share,
    clientInfo,
    orphans,
    log,
    clock,
  });
  return discreet(upstream, [{ headers: new Map(), secrets }]);
}

/** What a child is given: what is configured, and what any program needs to start. */
async function environmentOf(
  settings: Extract<Settings, { transport: "stdio" }>,
  { env }: UpstreamParts,
): Promise<Record<string, string | Secret>> {
  const basics = ["PATH", "HOME", "LANG"].flatMap((name) =>
    env[name] === undefined ? [] : [[name, env[name]] as const],
  );
  const configured = Object.entries(settings.env).map(async ([name, value]) => {
    if (typeof value === "string") return [name, value] as const;
    return [name, await resolveSecret(value, secretsOf({ env }))] as const;
  });
  return Object.fromEntries<string | Secret>([...basics, ...(await Promise.all(configured))]);
}

/** Of one that was just replaced, answers may still come. */
const LEASES_REMEMBERED = 2;

/** The lease for the gateway's own requests: discovery, lists, change streams. It is noted among what was given. */
async function ownCredential(
  source: string,
  upstream: string,
  given: Given[],
  parts: UpstreamParts,
): Promise<ReadonlyMap<string, Secret>> {
  const lease = await parts.credentials.obtain({ source }, gatewayPrincipal(parts.config), {
    decisionId: "",
    upstream,
    server: "",
    revision: { platform: "", tenant: "" },
  });
  if (lease.env !== undefined || lease.certificate !== undefined)
    throw new PortcullisError("credential_refused", {
      reason: "the gateway's own requests carry a header alone",
    });
  if (!given.includes(lease)) given.splice(0, given.length, lease, ...given.slice(0, LEASES_REMEMBERED - 1));
  return lease.headers;
}

function gatewayPrincipal({ listen }: Config): Principal {
  const issuer = listen.public_url;
  return plainPrincipal({ kind: "service", issuer, subject: "portcullis", tenant: GATEWAY_TENANT });
}
