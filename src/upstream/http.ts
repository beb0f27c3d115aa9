import type {
  Listed,
  SharedStore,
  Upstream,
  UpstreamIdentity,
  UpstreamReply,
  UpstreamRequest,
} from "../domain.ts";
import type { Clock } from "../lib/clock.ts";
import { toPortcullisError } from "../lib/errors.ts";
import { GATEWAY_SESSION } from "../lib/gateway-session.ts";
import type { JsonObject } from "../lib/json.ts";
import { type Log, withFields } from "../lib/log.ts";
import type { Seal } from "../lib/seal.ts";
import type { Secret } from "../lib/secret.ts";
import { createCrowd } from "./crowd.ts";
import { createDispatchers } from "./dispatchers.ts";
import { announcedLists, type EraChoice } from "./era.ts";
import { createLegacyEra } from "./http-legacy.ts";
import { createModernEra } from "./http-modern.ts";
import { createLink } from "./link.ts";
import { createListenings } from "./listening.ts";
import { createNegotiation } from "./negotiation.ts";
import { createScope } from "./scope.ts";
import { createSharedSessions, type SharedSessions } from "./shared-sessions.ts";
import { type Backoff, createWatch, type StreamEnd } from "./watch.ts";

export interface HttpUpstreamOptions {
  readonly name: string;
  readonly url: string;
  readonly era: EraChoice;
  /** The gateway's own `clientInfo`: for its own requests, and for callers that gave none. */
  readonly clientInfo: JsonObject;
  /** For the gateway's own requests: negotiation, discovery, change streams. */
  readonly credential?: () => Promise<ReadonlyMap<string, Secret>>;
  /** Certificates of the upstream's own authority, PEM; absent: those of the system. */
  readonly ca?: string;
  /** Where replicas find each other's legacy sessions, sealed; absent: there is one replica. */
  readonly shared?: { readonly store: SharedStore; readonly seal: Seal };
  readonly timeouts?: Partial<HttpTimeouts>;
  readonly limits?: Partial<HttpLimits>;
  /** How many of so many legacy sessions one tenant may have; default: all. */
  readonly share?: (max: number) => number;
  readonly log: Log;
  readonly clock: Clock;
}

/** Milliseconds. */
export interface HttpTimeouts {
  /** For connecting, negotiating and opening a session, each. */
  readonly connectMs: number;
  /** Longest silence of a call's event stream. */
  readonly idleMs: number;
  /** An upstream session without a request for so long is ended. */
  readonly sessionIdleMs: number;
  /** For streams that are opened again. */
  readonly reconnect: Backoff;
}

export interface HttpLimits {
  /** Bytes of one answer or event, and of a whole event stream. */
  readonly answerBytes: number;
  readonly streamBytes: number;
  /** Legacy sessions held at a time, and streams beside calls. */
  readonly sessions: number;
  /** And legacy sessions of one user, all runs included. */
  readonly sessionsPerUser: number;
  /** For calls. */
  readonly connections: number;
}

const TIMEOUTS: HttpTimeouts = {
  connectMs: 10_000,
  idleMs: 120_000,
  sessionIdleMs: 1_800_000,
  reconnect: { firstMs: 1000, maxMs: 60_000 },
};
const LIMITS: HttpLimits = {
  answerBytes: 8 << 20,
  streamBytes: 64 << 20,
  sessions: 1000,
  sessionsPerUser: 128,
  connections: 256,
};
const CONTENT = ["content-type", "application/json", "accept", "application/json, text/event-stream"];
const NO_CREDENTIAL: ReadonlyMap<string, Secret> = new Map();

/** An upstream over Streamable HTTP. Connections are kept; redirects are never followed, calls never retried. */
export function createHttpUpstream(options: HttpUpstreamOptions): Upstream {
  const { name, clientInfo, clock, credential = async () => NO_CREDENTIAL } = options;
  const { share = (max: number) => max } = options;
  const timeouts = { ...TIMEOUTS, ...options.timeouts };
  const limits = { ...LIMITS, ...options.limits };
  const log = withFields(options.log, { upstream: name });
  const { origin, pathname, search } = new URL(options.url);
  const { connectMs: openMs, sessionIdleMs, reconnect } = timeouts;
  const dispatchers = createDispatchers({
    origin,
    ...(options.ca !== undefined && { ca: options.ca }),
    connectMs: openMs,
    connections: limits.connections,
    streams: limits.sessions,
    clock,
  });
  const negotiation = createNegotiation({
    era: options.era,
    credential,
    probe: (own) => modern.probe(own),
    identify: (own) => legacy.identify(own),
    log,
  });
  const { identified, forget } = negotiation;
  const reopening = { backoff: reconnect, log, clock };
  const watch = createWatch(follow, reopening);
  const listenings = createListenings(
    async (wanted, signal, onOpen) => sideOf(await identified()).attach(wanted, signal, onOpen),
    reopening,
  );
  const link = createLink({
    dispatchers,
    path: pathname + search,
    limits,
    idleMs: timeouts.idleMs,
    postMs: Math.min(openMs, 2000),
    reconnect,
    log,
    onListChanged: watch.notify,
  });
  const modern = createModernEra({ link, clientInfo, content: CONTENT, openMs, onEraRefused: forget });
  const legacy = createLegacyEra({
    link,
    clientInfo,
    content: CONTENT,
    openMs,
    sessionIdleMs,
    crowd: createCrowd({
      of: "upstream sessions",
      max: limits.sessions,
      perTenant: share(limits.sessions),
      perPerson: limits.sessionsPerUser,
    }),
    shared: sharedSessions(),
    reconnect,
    log,
    clock,
    onSessionLost: forget,
  });
  function sharedSessions(): SharedSessions | undefined {
    const { shared } = options;
    const kept = { upstream: name, idleMs: sessionIdleMs, content: CONTENT, log, clock };
    return shared && createSharedSessions({ ...shared, ...kept });
  }

  function sideOf({ era: answering }: UpstreamIdentity) {
    return answering === "modern" ? modern : legacy;
  }

  async function asGateway(request: UpstreamRequest): Promise<UpstreamRequest> {
    return request.credential.size > 0 ? request : { ...request, credential: await credential() };
  }

  async function request(asked: UpstreamRequest): Promise<UpstreamReply> {
    const scope = createScope(asked.signal, asked.timeoutMs);
    try {
      if (scope.error !== undefined) throw scope.error;
      const answering = negotiation.found ?? (await scope.race(identified()));
      const full = asked.sessionKey === GATEWAY_SESSION ? await scope.race(asGateway(asked)) : asked;
      const { kind, text, isError } = await sideOf(answering).ask(full, scope);
      return { kind, text, isError, era: answering.era };
    } catch (thrown) {
      const error = toPortcullisError(thrown);
      if (error.code === "upstream_unavailable" || error.code === "credential_rejected") forget();
      throw error;
    } finally {
      scope.close();
    }
  }

  /** The gateway's own stream, for changes of the lists that the upstream offers. */
  async function follow(signal: AbortSignal, onOpen: (lists: readonly Listed[]) => void): Promise<StreamEnd> {
    const answering = await identified();
    const lists = announcedLists(answering);
    if (lists.length === 0) return "unsupported";
    const own = {
      sessionKey: GATEWAY_SESSION,
      clientInfo: null,
      decisionId: "",
      credential: await credential(),
    };
    const wanted = { ...own, signal, lists, uris: [], onNotification() {} };
    return sideOf(answering).attach(wanted, signal, () => onOpen(lists));
  }

  return {
    name,
    async identify(signal) {
      const scope = createScope(signal, 2 * openMs);
      try {
        return await scope.race(identified());
      } finally {
        scope.close();
      }
    },
    request,
    async release(sessionKey) {
      listenings.release(sessionKey);
      await legacy.release(sessionKey);
    },
    releaseWhere: legacy.releaseWhere,
    rootsChanged: legacy.rootsChanged,
    listen: listenings.listen,
    onChange: watch.add,
    async close() {
      watch.close();
      listenings.close();
      await legacy.close();
      await dispatchers.close();
    },
  };
}
