import { readFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { openDecisionLog } from "./audit/log.ts";
import { createRefusalCounter } from "./audit/refusals.ts";
import { type Catalog, createCatalog } from "./catalog/catalog.ts";
import { createFilePins } from "./catalog/pins.ts";
import { createEmbedded, issuersOf, mountsOf } from "./compose/identity.ts";
import { labelsFrom } from "./compose/labels.ts";
import { openTenancy } from "./compose/tenancy.ts";
import { openUpstreams, type UpstreamParts } from "./compose/upstreams.ts";
import type { Config } from "./config/config.ts";
import { createCredentials } from "./credential/credentials.ts";
import { createCapabilities } from "./gate/capabilities.ts";
import { createGate } from "./gate/gate.ts";
import type { Rooms } from "./gate/rooms.ts";
import { createSchemas } from "./gate/schemas.ts";
import { createHttp, type Http } from "./http/http.ts";
import { createIdentity } from "./identity/identity.ts";
import { type Clock, systemClock } from "./lib/clock.ts";
import { PortcullisError } from "./lib/errors.ts";
import { randomId } from "./lib/ids.ts";
import type { Log } from "./lib/log.ts";
import type { Secret } from "./lib/secret.ts";
import { createMetrics } from "./operation/metrics.ts";
import { createPolicyStore, type PolicyStatus } from "./policy/store.ts";
import { createToolchain } from "./policy/toolchain.ts";
import { createSessions } from "./protocol/sessions.ts";

export interface GatewayOptions {
  readonly config: Config;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly log: Log;
  readonly clock?: Clock;
  /** Called once when the decision log cannot be written any more: nothing is served, the process should end. */
  readonly onFatal?: (error: PortcullisError) => void;
}

export interface GatewayStatus {
  readonly ready: readonly string[];
  readonly policies: PolicyStatus;
  readonly catalog: ReturnType<Catalog["status"]>;
  /** Schemas that are invalid, and keywords that are left to the upstream, by target. */
  readonly schemas: readonly { readonly target: string; readonly note: string }[];
  readonly sessions: number;
}

export interface Gateway {
  /** The complete Express app, MCP route included, for anyone's Express app. */
  readonly app: Http["app"];
  /** The MCP route alone, as a plain Node handler: ahead of Express it costs half as much. */
  readonly mcp: Http["mcp"];
  listen(): Promise<{ readonly url: string }>;
  /** The URL of a virtual server, which is also the audience of its tokens. */
  urlOf(server: string): string;
  status(): GatewayStatus;
  /** Approves a changed definition; false if none waits. */
  approve(upstream: string, target: string): Promise<boolean>;
  /** Builds the policies again, as a change of their files does. */
  reload(): Promise<PolicyStatus>;
  /** A token of the embedded authorization server for a sample user. */
  token(user: string, server: string): Promise<Secret>;
  close(): Promise<void>;
}

const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as {
  version: string;
};
const INFO = { name: "portcullis", version };

/** Targets on one page of a list; capabilities kept; refusals recorded one by one in a second of one source. */
const PAGE = 1000;
const CAPABILITIES = 50_000;
const INDIVIDUAL_REFUSALS = 5;
const SESSIONS_PER_OWNER = 100;
const REFRESH_MS = 300_000;
const LEASES = 10_000;
const MAX_PENDING_BYTES = 64 << 20;

/** The composition root: configuration becomes rooms, and the rooms a gateway. Nothing listens before `listen`. */
export async function createGateway(options: GatewayOptions): Promise<Gateway> {
  const { config, log, clock = systemClock } = options;
  const closing: (() => unknown)[] = [];
  const urlOf = (server: string) => `${config.listen.public_url}/mcp/${server}`;
  const tenancy = await openTenancy(config);

  const toolchain = createToolchain();
  closing.push(() => toolchain.close());
  const policies = createPolicyStore({
    toolchain,
    platform: config.policies.path,
    tenants: tenancy.policies,
    tenantSchema: config.policies.tenant_schema ?? {},
    log,
    clock,
  });
  closing.push(() => policies.close());

  const decisions = await openDecisionLog({
    path: config.audit.path,
    segmentBytes: config.audit.segment_bytes,
    maxPendingBytes: MAX_PENDING_BYTES,
    clock,
    log,
    onFatal: options.onFatal ?? (() => {}),
  });
  closing.push(() => decisions.close());
  const refusals = createRefusalCounter({ decisions, clock, individually: INDIVIDUAL_REFUSALS });
  closing.push(() => refusals.close());

  const credentials = await createCredentials({
    sources: config.credentials,
    tenants: tenancy.credentialsOf,
    publicUrl: config.listen.public_url,
    signingKey: null,
    capacity: LEASES,
    clock,
    log,
  });
  closing.push(() => credentials.close());

  const parts: UpstreamParts = { config, env: options.env, credentials, clientInfo: INFO, log, clock };
  const upstreams = await openUpstreams(parts);
  closing.push(() => Promise.all([...upstreams.values()].map((upstream) => upstream.close())));

  await mkdir(config.state.path, { recursive: true, mode: 0o700 });
  const pins = createFilePins(config.pins.path);
  const catalog = createCatalog({
    servers: Object.fromEntries(
      Object.entries(config.servers).map(([name, server]) => [name, server.upstreams]),
    ),
    upstreams,
    labels: labelsFrom(config),
    pins,
    log,
    clock,
    refreshMs: REFRESH_MS,
  });
  closing.push(() => catalog.close());
  const schemas = createSchemas();
  catalog.onChange((server) => {
    for (const target of catalog.view(server).targets) schemas.of(target);
  });

  const embedded = createEmbedded({ config, urlOf, log, clock });
  const identity = createIdentity({
    issuers: issuersOf(config, embedded),
    audience: urlOf,
    directory: tenancy.directory,
    scopes: (server) => config.servers[server]?.scopes ?? [],
    clock,
    fetch,
    log,
  });
  closing.push(() => identity.close());

  const sessions = createSessions({
    limits: { ...config.limits, sessions_per_owner: SESSIONS_PER_OWNER },
    clock,
    newId: randomId,
    onEnd: (session) => {
      for (const upstream of upstreams.values()) {
        upstream
          .release(`session ${session.id}`)
          .catch((err: unknown) => log.warn({ err }, "an upstream session was not ended"));
      }
    },
  });
  closing.push(() => sessions.close());

  const metrics = createMetrics();
  metrics.sessions(() => sessions.size);
  const rooms: Rooms = {
    identity,
    sessions,
    catalog,
    policies,
    capabilities: createCapabilities(schemas, CAPABILITIES),
    log: decisions,
    refusals,
    credentials,
    upstreams,
    servers: new Map(
      Object.entries(config.servers).map(([name, { title = "", instructions = "" }]) => [
        name,
        { title, instructions },
      ]),
    ),
    mayUse: tenancy.mayUse,
    timeoutOf: (upstream) => config.upstreams[upstream]?.timeout_ms ?? 0,
    limits: { page: PAGE, inFlight: config.limits.in_flight },
    gatewayInfo: INFO,
    metrics,
    clock,
    operations: log,
  };
  const gate = createGate(rooms);

  const unready = (): string[] => {
    const reasons: string[] = [];
    if (!decisions.healthy) reasons.push("the decision log cannot be written");
    if (policies.status().platform.revision === null) reasons.push("no policy is loaded");
    return reasons;
  };

  const http = createHttp({
    handle: gate.handle,
    hasServer: (name) => Object.hasOwn(config.servers, name),
    onRefusal: gate.refused,
    publicUrl: config.listen.public_url,
    allowedHosts: config.listen.allowed_hosts,
    allowedOrigins: config.listen.allowed_origins,
    limits: config.limits,
    mounts: mountsOf({ config, identity, credentials, embedded }),
    ready: unready,
    metrics: metrics.text,
    log,
  });

  await Promise.all([policies.load(), catalog.start()]);

  return {
    app: http.app,
    mcp: http.mcp,
    async listen() {
      const { host, port } = config.listen;
      const listening = await http.listen(host, port);
      closing.push(() => listening.close(config.limits.drain_ms));
      return { url: config.listen.public_url };
    },
    urlOf,
    status: () => ({
      ready: unready(),
      policies: policies.status(),
      catalog: catalog.status(),
      schemas: schemas.notes(Object.keys(config.servers).flatMap((name) => catalog.view(name).targets)),
      sessions: sessions.size,
    }),
    async approve(upstream, target) {
      const approved = pins.approve(upstream, target);
      await catalog.refresh(upstream);
      return approved;
    },
    reload: () => policies.reload(),
    token(user, server) {
      if (embedded === null)
        throw new PortcullisError("params_invalid", { reason: "there is no embedded authorization server" });
      const scopes = ["mcp", ...(config.servers[server]?.scopes ?? [])];
      return embedded.mint({ subject: user, resource: urlOf(server), scopes });
    },
    async close() {
      // Last opened, first closed: what is served ends before what it is served with.
      for (const close of closing.splice(0).reverse()) {
        // One part that cannot be closed must not keep the others open.
        await Promise.resolve()
          .then(close)
          .catch((err: unknown) => log.error({ err }, "a part of the gateway could not be closed"));
      }
    },
  };
}
