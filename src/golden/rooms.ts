import { randomBytes } from "node:crypto";
import type { CatalogView } from "../catalog/view.ts";
import type { Tenancy } from "../compose/tenancy.ts";
import type { Config } from "../config/config.ts";
import type { Credentials } from "../credential/credentials.ts";
import type { DecisionEntry, DecisionLog, Identity, OutcomeEntry, Upstream } from "../domain.ts";
import type { Capabilities } from "../gate/capabilities.ts";
import type { Rooms } from "../gate/rooms.ts";
import { PortcullisError, toPortcullisError } from "../lib/errors.ts";
import type { Json } from "../lib/json.ts";
import { silentLog } from "../lib/log.ts";
import { createSeal } from "../lib/seal.ts";
import type { PolicyStore } from "../policy/store.ts";
import { createInFlight } from "../protocol/sessions.ts";

/** The rooms that all cases share: the real ones. */
export interface SharedRooms {
  readonly config: Config;
  readonly policies: Pick<PolicyStore, "current">;
  readonly views: ReadonlyMap<string, CatalogView>;
  readonly tenancy: Tenancy;
  readonly credentials: Pick<Credentials, "obtain">;
  readonly capabilities: Capabilities;
}

/** What one request left behind. */
export interface Traces {
  decision: DecisionEntry | null;
  outcome: OutcomeEntry | null;
  /** Why there was no credential. */
  refusal: string;
  /** What the upstream got: the arguments of a tool or a prompt; of anything else its params. */
  forwarded: Json;
}

export const SESSION = "golden";

/** The rooms of one request by this identity: what is written or sent is kept in `traces`. */
export function roomsFor(identity: Identity, now: number, shared: SharedRooms, traces: Traces): Rooms {
  const { config, policies, views, tenancy, capabilities } = shared;
  return {
    identity: { authenticate: async () => identity, challenge: () => "" },
    sessions: oneSession(),
    ...alone(),
    catalog: { view: (name) => viewOf(name, views) },
    policies,
    capabilities,
    decisions: keptLog(traces),
    refusals: { refuse: (entry) => keptLog(traces).decision("", entry), close: async () => {} },
    credentials: { obtain: (...asked) => shared.credentials.obtain(...asked).catch(keptRefusal(traces)) },
    upstreams: new Map(Object.keys(config.upstreams).map((name) => [name, keptUpstream(name, traces)])),
    servers: new Map(Object.keys(config.servers).map((name) => [name, { title: "", instructions: "" }])),
    mayUse: tenancy.mayUse,
    timeoutOf: () => 1000,
    limits: { page: Number.MAX_SAFE_INTEGER, inFlight: 1, perTenant: 1, perUser: 1 },
    gatewayInfo: {},
    onChange: () => () => {},
    admission: { check() {}, onEnd: () => () => {} },
    elicitations: { waits: async () => {}, complete: async () => {}, onComplete: () => () => {} },
    newId: () => SESSION,
    metrics: { decided() {}, forwarded() {} },
    clock: () => now,
    log: silentLog,
  };
}

/** A legacy session is open already, so that a request needs no more than its id. */
function oneSession(): Rooms["sessions"] {
  const session = {
    principalKey: "",
    server: "",
    version: "",
    clientInfo: null,
    clientCapabilities: null,
    logLevel: null,
    subscriptions: [],
    id: SESSION,
    requests: createInFlight(),
  };
  return {
    create: async () => session,
    get: async () => session,
    update: async () => session,
    delete: async () => false,
    deleteWhere: async () => {},
    has: () => false,
    cancel() {},
    watch: () => () => {},
    size: 1,
    close: async () => {},
  };
}

/** A case is one request to one replica: there is nothing before it, after it or beside it. */
function alone() {
  const nobody = async () => Promise.reject(new PortcullisError("cancelled"));
  const replicas: Rooms["replicas"] = {
    node: SESSION,
    tell: async () => {},
    broadcast: async () => {},
    onMessage: () => () => {},
    ask: nobody,
    serve() {},
    close: async () => {},
  };
  return {
    replicas,
    seal: createSeal(randomBytes(32)),
    events: { append: async () => SESSION, after: async () => undefined },
    streams: {
      take: () => ({ before: Promise.resolve(), leave() {} }),
      listen: () => () => {},
      size: 0,
      close() {},
    },
    outboxes: { open: () => ({ remember: async () => undefined, done() {} }), follow: nobody, size: 0 },
    asides: null,
    questions: { ask: nobody, answer: async () => false },
    held: { node: SESSION, keep() {}, resume: nobody, drop() {}, size: 0, close() {} },
    tasks: { keep: async () => {}, find: async () => undefined, all: async () => new Map() },
  };
}

function viewOf(name: string, views: SharedRooms["views"]): CatalogView {
  const view = views.get(name);
  if (view !== undefined) return view;
  throw new PortcullisError("not_found_path", { reason: `there is no virtual server "${name}"` });
}

function keptLog(traces: Traces): DecisionLog {
  return {
    newId: () => SESSION,
    async decision(_, entry) {
      traces.decision = entry;
    },
    outcome(entry) {
      traces.outcome = entry;
    },
    lease: async () => {},
    operator: async () => {},
    healthy: true,
    close: async () => {},
  };
}

function keptRefusal(traces: Traces) {
  return (thrown: unknown): never => {
    traces.refusal = toPortcullisError(thrown).reason;
    throw thrown;
  };
}

function keptUpstream(name: string, traces: Traces): Upstream {
  return {
    name,
    identify: async () => Promise.reject(new PortcullisError("upstream_unavailable")),
    async request({ method, params }) {
      traces.forwarded = /^(tools|prompts)\//.test(method) ? (params.arguments ?? null) : params;
      return { kind: "result", text: "{}", isError: false, era: "legacy" };
    },
    release: async () => {},
    releaseWhere: async () => {},
    rootsChanged: async () => {},
    listen: async () => ({ refused: new Map() }),
    onChange: () => () => {},
    close: async () => {},
  };
}
