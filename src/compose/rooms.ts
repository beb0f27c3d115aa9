import type { AuthorizationServer } from "../authorization-server/server.ts";
import type { Catalog } from "../catalog/catalog.ts";
import type { PinStore } from "../catalog/pins.ts";
import type { Credentials } from "../credential/credentials.ts";
import type { SharedStore } from "../domain.ts";
import { createCapabilities } from "../gate/capabilities.ts";
import { createChanges } from "../gate/changes.ts";
import type { LoadLimits } from "../gate/load.ts";
import { NO_RUNS, narrowCapabilities, narrowCredentials } from "../gate/narrowing.ts";
import type { Rooms } from "../gate/rooms.ts";
import type { Schemas } from "../gate/schemas.ts";
import type { Directory } from "../identity/directory.ts";
import type { IdentityStage } from "../identity/identity.ts";
import { randomId } from "../lib/ids.ts";
import { ownFolder } from "../lib/own-folder.ts";
import { createMetrics, type Metrics } from "../operation/metrics.ts";
import type { PolicyStore } from "../policy/store.ts";
import { createEventStore } from "../protocol/events.ts";
import type { Runs } from "../runs/runs.ts";
import type { Suspensions } from "../suspension/suspensions.ts";
import { type LinkedAccounts, openAccounts, tellWhoWaits } from "./accounts.ts";
import { openAudit } from "./audit.ts";
import { openCatalog } from "./catalog.ts";
import { openConversations } from "./conversations.ts";
import { endLeases, openCredentials } from "./credentials.ts";
import type { Ground } from "./ground.ts";
import { endHoldings } from "./holdings.ts";
import { openPolicies } from "./policies.ts";
import { openPrincipals } from "./principals.ts";
import { openSessions } from "./sessions.ts";
import { openSharing } from "./sharing.ts";
import { openTenancy, type Share, type Tenancy } from "./tenancy.ts";
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

/** Opens them, with the policies loaded and the targets discovered. */
export async function openRooms(ground: Ground): Promise<Opened> {
  const { config, info, clock, log, closing } = ground;
  await ownFolder("state.path", config.state.path, log);
  const tenancy = await openTenancy(config);
  const { directory, share } = tenancy;
  const { policies, loaded } = openPolicies(ground, tenancy);
  const audit = await openAudit(ground);
  const sharing = await openSharing(ground);
  const { store, seal, replicas } = sharing;
  const { admission, ...principals } = await openPrincipals(ground, tenancy, sharing);
  const accounts = await openAccounts(ground, { ...sharing, ...principals, ...audit });
  const credentials = await openCredentials(ground, { ...audit, tenancy, accounts, policies });
  const shared = sharing.isAlone ? null : { store, seal };
  const upstreams = closing.add(
    await openUpstreams({ ...ground, clientInfo: info, credentials, share, shared }),
    (opened) => Promise.all([...opened.values()].map((upstream) => upstream.close())),
  );
  const targets = openCatalog(ground, upstreams);
  const events = createEventStore({ store, seal, clock, idleMs: config.limits.session_idle_ms });
  const sessions = openSessions(ground, { ...sharing, upstreams, credentials, events, share });
  const conversations = openConversations(ground, sharing, events, share);
  endLeases(ground, credentials, policies, accounts);
  endHoldings({ ...conversations, sessions, credentials, upstreams }, principals, log);
  tellWhoWaits(accounts, conversations.elicitations, log);
  const metrics = createMetrics();
  metrics.sessions(() => sessions.size);
  const reach = principals.runs ?? NO_RUNS;
  const rooms: Rooms = {
    ...audit,
    ...conversations,
    ...settingsOf(ground, tenancy),
    identity: principals.identity,
    sessions,
    replicas,
    seal,
    catalog: targets.catalog,
    policies,
    capabilities: narrowCapabilities(createCapabilities(targets.schemas, CAPABILITIES), reach),
    credentials: narrowCredentials(credentials, reach, admission),
    upstreams,
    onChange: createChanges({ catalog: targets.catalog, policies, log }),
    admission,
    newId: randomId,
    metrics,
    clock,
    log,
  };
  await Promise.all([loaded, targets.catalog.start()]);
  return { rooms, ...principals, ...targets, store, directory, policies, accounts, credentials, metrics };
}

/** What is as configured for as long as it runs. */
function settingsOf(
  { config: { servers, upstreams, limits }, info }: Ground,
  { mayUse, share }: Tenancy,
): Pick<Rooms, "servers" | "timeoutOf" | "limits" | "mayUse" | "gatewayInfo"> {
  const settings = Object.entries(servers).map(
    ([name, { title = "", instructions = "" }]) => [name, { title, instructions }] as const,
  );
  return {
    servers: new Map(settings),
    timeoutOf: (upstream) => upstreams[upstream]?.timeout_ms ?? 0,
    limits: { page: PAGE, ...loadLimits(limits.in_flight, share) },
    mayUse,
    gatewayInfo: info,
  };
}

/** Half of what its tenant may have is one user's. */
function loadLimits(inFlight: number, share: Share): LoadLimits {
  const perTenant = share(inFlight);
  return { inFlight, perTenant, perUser: Math.max(1, Math.floor(perTenant / 2)) };
}
