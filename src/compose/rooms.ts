import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { openDecisionLog } from "../audit/log.ts";
import { createRefusalCounter, type RefusalCounter } from "../audit/refusals.ts";
import type { AuthorizationServer } from "../authorization-server/server.ts";
import { type Catalog, createCatalog } from "../catalog/catalog.ts";
import { createFilePins, type PinStore } from "../catalog/pins.ts";
import type { Config } from "../config/config.ts";
import { resolveSecret, resolveSecrets, type SecretStore } from "../config/secret.ts";
import { type Credentials, createCredentials } from "../credential/credentials.ts";
import type { DecisionLog, Upstream } from "../domain.ts";
import { createCapabilities } from "../gate/capabilities.ts";
import { createHeld } from "../gate/held.ts";
import { NO_RUNS, narrowCapabilities, narrowCredentials } from "../gate/narrowing.ts";
import { createQuestions } from "../gate/questions.ts";
import type { Rooms } from "../gate/rooms.ts";
import { createSchemas, type Schemas } from "../gate/schemas.ts";
import { createStreams } from "../gate/streams.ts";
import { createTasks } from "../gate/task-store.ts";
import type { Directory } from "../identity/directory.ts";
import { createIdentity, type IdentityStage } from "../identity/identity.ts";
import type { Clock } from "../lib/clock.ts";
import type { PortcullisError } from "../lib/errors.ts";
import { randomId } from "../lib/ids.ts";
import type { JsonObject } from "../lib/json.ts";
import type { Log } from "../lib/log.ts";
import type { Secret } from "../lib/secret.ts";
import { createMetrics, type Metrics } from "../operation/metrics.ts";
import { createBundleCache } from "../policy/bundle-cache.ts";
import { createPolicyStore, type PolicyStore } from "../policy/store.ts";
import { createToolchain } from "../policy/toolchain.ts";
import { createEventStore } from "../protocol/events.ts";
import { createSessions, type Sessions } from "../protocol/sessions.ts";
import type { Runs } from "../runs/runs.ts";
import type { Closing } from "./closing.ts";
import { createEmbedded, issuersOf } from "./identity.ts";
import { labelsFrom } from "./labels.ts";
import { audienceOf, openRuns } from "./runs.ts";
import { openSharing, type Sharing } from "./sharing.ts";
import { openTenancy, type Tenancy } from "./tenancy.ts";
import { openUpstreams } from "./upstreams.ts";
import { vaultsOf } from "./vaults.ts";

/** What the rooms are made from. */
export interface Ground {
  readonly config: Config;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The gateway's own name and version. */
  readonly info: JsonObject;
  /** The URL of a virtual server, and the audience of its tokens. */
  urlOf(server: string): string;
  onFatal(error: PortcullisError): void;
  readonly log: Log;
  readonly clock: Clock;
  readonly closing: Closing;
}

/** The rooms as the gate walks through them, and the handles that only the gateway itself needs. */
export interface Opened {
  readonly rooms: Rooms;
  readonly catalog: Catalog;
  readonly credentials: Credentials;
  readonly metrics: Metrics;
  readonly policies: PolicyStore;
  readonly pins: PinStore;
  readonly schemas: Schemas;
  readonly identity: IdentityStage;
  readonly directory: Directory;
  /** null: tokens come from configured issuers only. */
  readonly embedded: AuthorizationServer | null;
  /** null: they are not configured. */
  readonly runs: Runs | null;
}

/** Targets on one page of a list. */
const PAGE = 1000;
/** Capabilities that are kept opened. */
const CAPABILITIES = 50_000;
/** Builds that are kept on disk: what is in force, and some to go back to. */
const BUNDLES_PER_LAYER = 4;
/** Refusals without a token that are recorded one by one, of one source in one second. */
const INDIVIDUAL_REFUSALS = 5;
const SESSIONS_PER_OWNER = 100;
const LEASES = 10_000;
/** Milliseconds between discoveries of an upstream that announces no changes. */
const REFRESH_MS = 300_000;
const MAX_PENDING_BYTES = 64 << 20;

export async function openRooms(ground: Ground): Promise<Opened> {
  const { config, clock, log, closing } = ground;
  const tenancy = await openTenancy(config);
  const policies = openPolicies(ground, tenancy);
  const { decisions, refusals } = await openLog(ground);
  const credentials = closing.add(
    await createCredentials({
      sources: await resolveSecrets(config.credentials, secretsOf(ground)),
      tenants: tenancy.credentialsOf,
      publicUrl: config.listen.public_url,
      signingKey: await signingKeyOf(ground),
      vaults: await vaultsOf(ground),
      capacity: LEASES,
      clock,
      log,
    }),
    (opened) => opened.close(),
  );
  const upstreams = closing.add(
    await openUpstreams({ ...ground, clientInfo: ground.info, credentials }),
    (opened) => Promise.all([...opened.values()].map((upstream) => upstream.close())),
  );
  const { catalog, pins, schemas } = await openCatalog(ground, upstreams);
  const { key, ...sharing } = await openSharing(ground);
  const runs = closing.add(await openRuns({ ...ground, ...sharing, key }), (opened) => opened?.close());
  runs?.onEnd((id) => void credentials.revokeWhere(({ run }) => run === id, "the run ended"));
  const { identity, embedded } = openIdentity(ground, tenancy, runs);
  const sessions = openSessions(ground, sharing, upstreams);
  const metrics = createMetrics();
  metrics.sessions(() => sessions.size);
  const rooms: Rooms = {
    identity,
    sessions,
    ...openConversations(ground, sharing),
    ...sharing,
    catalog,
    policies,
    capabilities: narrowCapabilities(createCapabilities(schemas, CAPABILITIES), runs ?? NO_RUNS),
    log: decisions,
    refusals,
    credentials: narrowCredentials(credentials, runs ?? NO_RUNS),
    upstreams,
    servers: settingsOf(config),
    mayUse: tenancy.mayUse,
    timeoutOf: (upstream) => config.upstreams[upstream]?.timeout_ms ?? 0,
    limits: { page: PAGE, inFlight: config.limits.in_flight },
    gatewayInfo: ground.info,
    onChange: (server, listener) => onChange({ catalog, policies }, server, listener),
    onRunEnd: runs?.onEnd ?? (() => () => {}),
    newId: randomId,
    metrics,
    clock,
    operations: log,
  };
  const { directory } = tenancy;
  return {
    rooms,
    catalog,
    credentials,
    metrics,
    policies,
    pins,
    schemas,
    identity,
    directory,
    embedded,
    runs,
  };
}

function openPolicies({ config, log, clock, closing }: Ground, tenancy: Tenancy): PolicyStore {
  const toolchain = closing.add(createToolchain(), (opened) => opened.close());
  const builds = createBundleCache({
    directory: join(config.state.path, "bundles"),
    toolchain,
    capacity: BUNDLES_PER_LAYER * (1 + tenancy.policies.size),
    log,
  });
  const policies = createPolicyStore({
    toolchain: builds,
    platform: config.policies.path,
    tenants: tenancy.policies,
    tenantSchema: config.policies.tenant_schema ?? {},
    log,
    clock,
  });
  return closing.add(policies, (opened) => opened.close());
}

async function openLog(ground: Ground): Promise<{ decisions: DecisionLog; refusals: RefusalCounter }> {
  const { config, log, clock, closing, onFatal } = ground;
  const decisions = await openDecisionLog({
    path: config.audit.path,
    segmentBytes: config.audit.segment_bytes,
    maxPendingBytes: MAX_PENDING_BYTES,
    clock,
    log,
    onFatal: (error) => onFatal(error),
  });
  closing.add(decisions, (opened) => opened.close());
  const refusals = createRefusalCounter({ decisions, clock, individually: INDIVIDUAL_REFUSALS });
  closing.add(refusals, (opened) => opened.close());
  return { decisions, refusals };
}

async function openCatalog(
  { config, log, clock, closing }: Ground,
  upstreams: ReadonlyMap<string, Upstream>,
): Promise<{ catalog: Catalog; pins: PinStore; schemas: Schemas }> {
  await mkdir(config.state.path, { recursive: true, mode: 0o700 });
  const pins = createFilePins(config.pins.path);
  const servers = Object.entries(config.servers).map(([name, server]) => [name, server.upstreams] as const);
  const catalog = createCatalog({
    servers: Object.fromEntries(servers),
    upstreams,
    labels: labelsFrom(config),
    pins,
    log,
    clock,
    refreshMs: REFRESH_MS,
  });
  closing.add(catalog, (opened) => opened.close());
  const schemas = createSchemas();
  // Compiled as they appear, so that no request waits for it.
  catalog.onChange((server) => {
    for (const target of catalog.view(server).targets) schemas.of(target);
  });
  return { catalog, pins, schemas };
}

function openIdentity(ground: Ground, { directory }: Tenancy, runs: Runs | null) {
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

/** What goes on between the requests of one client. */
function openConversations(
  { config, clock, closing }: Ground,
  { store, seal, replicas }: Omit<Sharing, "key">,
) {
  const streams = closing.add(createStreams(replicas), (opened) => opened.close());
  const held = closing.add(createHeld(replicas, clock), (opened) => opened.close());
  return {
    events: createEventStore({ store, seal, clock, idleMs: config.limits.session_idle_ms }),
    questions: createQuestions(replicas, randomId),
    tasks: createTasks(store, seal, clock),
    streams,
    held,
  };
}

/** A virtual server shows other things when its catalog changes, and when the policies do. */
function onChange(
  { catalog, policies }: Pick<Opened, "catalog" | "policies">,
  server: string,
  listener: () => void,
): () => void {
  const stops = [
    catalog.onChange((changed) => changed === server && listener()),
    policies.onChange(listener),
  ];
  return () => {
    for (const stop of stops) stop();
  };
}

function openSessions(
  { config, log, clock, closing }: Ground,
  { store, seal, replicas }: Omit<Sharing, "key">,
  upstreams: ReadonlyMap<string, Upstream>,
): Sessions {
  const sessions = createSessions({
    store,
    seal,
    replicas,
    limits: { ...config.limits, sessions_per_owner: SESSIONS_PER_OWNER },
    clock,
    log,
    newId: randomId,
    onEnd: ({ id }, why) => {
      // Where the store is shared, another replica may go on with what this one held.
      if (why === "closed" && config.sessions.store !== "memory") return;
      for (const upstream of upstreams.values()) {
        upstream
          .release(`session ${id}`)
          .catch((err: unknown) => log.warn({ err }, "an upstream session was not ended"));
      }
    },
  });
  return closing.add(sessions, (opened) => opened.close());
}

async function signingKeyOf(ground: Ground): Promise<Secret | null> {
  const { signing_key: key } = ground.config;
  return key === undefined ? null : resolveSecret(key, secretsOf(ground));
}

function secretsOf({ env }: Ground): SecretStore {
  return { env, readFile: (path) => readFile(path, "utf8") };
}

function settingsOf({ servers }: Config): Rooms["servers"] {
  return new Map(
    Object.entries(servers).map(([name, { title = "", instructions = "" }]) => [
      name,
      { title, instructions },
    ]),
  );
}
