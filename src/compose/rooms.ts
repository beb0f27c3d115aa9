import { dirname, join } from "node:path";
import { openDecisionLog } from "../audit/log.ts";
import { createRefusalCounter, type RefusalCounter } from "../audit/refusals.ts";
import type { AuthorizationServer } from "../authorization-server/server.ts";
import { type Catalog, createCatalog } from "../catalog/catalog.ts";
import { createFilePins, type PinStore } from "../catalog/pins.ts";
import type { Config } from "../config/config.ts";
import type { Credentials } from "../credential/credentials.ts";
import type { DecisionLog, SharedStore, Upstream } from "../domain.ts";
import { createAsides } from "../gate/asides.ts";
import { createCapabilities } from "../gate/capabilities.ts";
import { createChanges } from "../gate/changes.ts";
import { createElicitations } from "../gate/elicitations.ts";
import { createHeld } from "../gate/held.ts";
import type { LoadLimits } from "../gate/load.ts";
import { NO_RUNS, narrowCapabilities, narrowCredentials } from "../gate/narrowing.ts";
import { createOutboxes } from "../gate/outbox.ts";
import { createQuestions } from "../gate/questions.ts";
import type { Rooms } from "../gate/rooms.ts";
import { createSchemas, type Schemas } from "../gate/schemas.ts";
import { createStreams } from "../gate/streams.ts";
import { createTasks } from "../gate/task-store.ts";
import type { Directory } from "../identity/directory.ts";
import { createIdentity, type IdentityStage } from "../identity/identity.ts";
import { randomId } from "../lib/ids.ts";
import { ownFolder, warnOfExposed } from "../lib/own-folder.ts";
import { createMetrics, type Metrics } from "../operation/metrics.ts";
import { policyPaths } from "../policy/policy-files.ts";
import { createPreparerThread } from "../policy/preparer-thread.ts";
import { createPolicyStore, type PolicyStore } from "../policy/store.ts";
import { createEventStore } from "../protocol/events.ts";
import type { Runs } from "../runs/runs.ts";
import type { Suspensions } from "../suspension/suspensions.ts";
import { type LinkedAccounts, openAccounts } from "./accounts.ts";
import { endLeases, openCredentials } from "./credentials.ts";
import type { Ground } from "./ground.ts";
import { createEmbedded, issuersOf } from "./identity.ts";
import { labelsFrom } from "./labels.ts";
import { audienceOf, openRuns } from "./runs.ts";
import { endRuns, endSuspended, openSessions, type Share, shareOf } from "./sessions.ts";
import { openSharing, type Sharing } from "./sharing.ts";
import { admissionOf, admitToPages, openSuspensions } from "./suspensions.ts";
import { openTenancy, type Tenancy } from "./tenancy.ts";
import { openUpstreams } from "./upstreams.ts";

/** The rooms as the gate walks through them, and the handles that only the gateway itself needs. */
export interface Opened {
  readonly rooms: Rooms;
  readonly store: Pick<SharedStore, "healthy">;
  readonly catalog: Catalog;
  readonly credentials: Credentials;
  readonly metrics: Metrics;
  readonly policies: PolicyStore;
  readonly pins: PinStore;
  readonly schemas: Schemas;
  readonly identity: IdentityStage;
  readonly directory: Directory;
  readonly suspensions: Suspensions;
  /** null: tokens come from configured issuers only. */
  readonly embedded: AuthorizationServer | null;
  /** null: they are not configured. */
  readonly runs: Runs | null;
  /** null: they are not configured. */
  readonly accounts: LinkedAccounts | null;
}

/** Targets on one page of a list. */
const PAGE = 1000;
/** Capabilities that are kept opened. */
const CAPABILITIES = 50_000;
/** Builds that are kept on disk: what is in force, and some to go back to. */
const BUNDLES_PER_LAYER = 4;
/** Refusals without a token that are recorded one by one, of one source in one second. */
const INDIVIDUAL_REFUSALS = 5;
/** Milliseconds between discoveries of an upstream that announces no changes. */
const REFRESH_MS = 300_000;
const MAX_PENDING_BYTES = 64 << 20;

/** Opens them, with the policies loaded and the targets discovered. */
export async function openRooms(ground: Ground): Promise<Opened> {
  const { config, clock, log, closing } = ground;
  await ownFolder("state.path", config.state.path, log);
  const tenancy = await openTenancy(config);
  const told = tellWhoDecides(ground, tenancy);
  const policies = openPolicies(ground, tenancy);
  const loaded = policies.load();
  const { decisions, refusals } = await openLog(ground);
  const { key, ...sharing } = await openSharing(ground);
  const suspensions = await openSuspensions(ground, sharing);
  const runParts = { ...ground, ...sharing, key, overBefore: suspensions.changedAt };
  const runs = closing.add(await openRuns(runParts), (opened) => opened?.close());
  const admission = admissionOf(suspensions, runs);
  const { identity, embedded } = openIdentity(ground, tenancy, runs);
  const admit = admitToPages(suspensions, decisions, clock);
  const accounts = await openAccounts(ground, { ...sharing, admit }, embedded);
  const credentials = await openCredentials(ground, { tenancy, decisions, accounts, policies });
  const share = shareOf(config, tenancy.policies.size);
  const upstreams = closing.add(
    await openUpstreams({
      ...ground,
      share,
      clientInfo: ground.info,
      credentials,
      shared: sharedBy(config, sharing),
    }),
    (opened) => Promise.all([...opened.values()].map((upstream) => upstream.close())),
  );
  const { catalog, pins, schemas } = await openCatalog(ground, upstreams);
  const sessions = openSessions(ground, sharing, upstreams, credentials, share);
  const conversations = openConversations(ground, sharing, share);
  endLeases(ground, credentials, policies, accounts);
  const holdings = { sessions, held: conversations.held, credentials, upstreams };
  if (runs !== null) endRuns(runs, holdings, log);
  endSuspended(suspensions, holdings, runs);
  accounts?.onLink((id) => {
    conversations.elicitations
      .complete(id)
      .catch((err: unknown) => log.warn({ err }, "nobody was told that an account is linked"));
  });
  const metrics = createMetrics();
  metrics.sessions(() => sessions.size);
  const rooms: Rooms = {
    identity,
    sessions,
    ...conversations,
    ...sharing,
    catalog,
    policies,
    capabilities: narrowCapabilities(createCapabilities(schemas, CAPABILITIES), runs ?? NO_RUNS),
    decisions,
    refusals,
    credentials: narrowCredentials(credentials, runs ?? NO_RUNS, admission),
    upstreams,
    servers: settingsOf(config),
    mayUse: tenancy.mayUse,
    timeoutOf: (upstream) => config.upstreams[upstream]?.timeout_ms ?? 0,
    limits: { page: PAGE, ...loadLimits(config.limits.in_flight, share) },
    gatewayInfo: ground.info,
    onChange: createChanges({ catalog, policies, log }),
    admission,
    newId: randomId,
    metrics,
    clock,
    log,
  };
  const { directory } = tenancy;
  await Promise.all([told, loaded, catalog.start()]);
  return {
    rooms,
    store: sharing.store,
    catalog,
    credentials,
    metrics,
    policies,
    pins,
    schemas,
    identity,
    directory,
    suspensions,
    embedded,
    runs,
    accounts,
  };
}

/** Beside the opening of the rooms, which need not wait for it. Never rejects. */
async function tellWhoDecides({ config, log }: Ground, { policies }: Tenancy): Promise<void> {
  await warnOfExposed("policies.path", await policyPaths(config.policies.path), log);
  for (const [tenant, own] of policies)
    if (own !== null) await warnOfExposed(`tenants.${tenant}.policies`, await policyPaths(own), log);
  const { path } = config.pins;
  await warnOfExposed("pins.path", [dirname(path), path], log);
}

function openPolicies({ config, log, clock, closing }: Ground, tenancy: Tenancy): PolicyStore {
  const own = [...tenancy.policies.values()].filter((directory) => directory !== null);
  const bundles = {
    directory: join(config.state.path, "bundles"),
    capacity: BUNDLES_PER_LAYER * (1 + own.length),
  };
  const { prepare } = closing.add(createPreparerThread(bundles, log), (opened) => opened.close());
  const policies = createPolicyStore({
    prepare,
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
  await ownFolder("audit.path", config.audit.path, log);
  const decisions = await openDecisionLog({
    path: config.audit.path,
    segmentBytes: config.audit.segment_bytes,
    maxPendingBytes: MAX_PENDING_BYTES,
    clock,
    log,
    onFatal,
  });
  closing.add(decisions, (opened) => opened.close());
  const refusals = createRefusalCounter({ decisions, clock, individually: INDIVIDUAL_REFUSALS });
  closing.add(refusals, (opened) => opened.close());
  return { decisions, refusals };
}

async function openCatalog(
  { config, log, closing }: Ground,
  upstreams: ReadonlyMap<string, Upstream>,
): Promise<{ catalog: Catalog; pins: PinStore; schemas: Schemas }> {
  const pins = createFilePins(config.pins.path);
  const servers = Object.entries(config.servers).map(([name, server]) => [name, server.upstreams] as const);
  const catalog = createCatalog({
    servers: Object.fromEntries(servers),
    upstreams,
    labels: labelsFrom(config),
    pins,
    log,
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
  share: Share,
) {
  const { sessions: most } = config.limits;
  const streams = closing.add(createStreams(replicas, most, share), (opened) => opened.close());
  const held = closing.add(createHeld(replicas, share, clock), (opened) => opened.close());
  const events = createEventStore({ store, seal, clock, idleMs: config.limits.session_idle_ms });
  return {
    events,
    outboxes: createOutboxes(events, replicas, randomId),
    questions: createQuestions(replicas, randomId),
    asides: config.sessions.store === "memory" ? null : createAsides(replicas, randomId),
    tasks: createTasks(store, seal, clock),
    elicitations: createElicitations(store, replicas),
    streams,
    held,
  };
}

/** null: this replica shares with none. */
function sharedBy({ sessions }: Config, { store, seal }: Pick<Sharing, "store" | "seal">) {
  return sessions.store === "memory" ? null : { store, seal };
}

function settingsOf({ servers }: Config): Rooms["servers"] {
  return new Map(
    Object.entries(servers).map(([name, { title = "", instructions = "" }]) => [
      name,
      { title, instructions },
    ]),
  );
}

/** Half of what its tenant may have is one user's. */
function loadLimits(inFlight: number, share: Share): LoadLimits {
  const perTenant = share(inFlight);
  return { inFlight, perTenant, perUser: Math.max(1, Math.floor(perTenant / 2)) };
}
