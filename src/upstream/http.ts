import { Pool } from "undici";
import type { Upstream, UpstreamIdentity, UpstreamReply, UpstreamRequest } from "../domain.ts";
import type { Clock } from "../lib/clock.ts";
import { PortcullisError, toPortcullisError } from "../lib/errors.ts";
import type { JsonObject } from "../lib/json.ts";
import { type Log, withFields } from "../lib/log.ts";
import { GATEWAY_OWNER } from "../lib/owner.ts";
import type { Secret } from "../lib/secret.ts";
import { announcesToolChanges, type EraChoice } from "./era.ts";
import { createLegacyEra } from "./http-legacy.ts";
import { createModernEra } from "./http-modern.ts";
import { createLink } from "./link.ts";
import { answerText, readMessage } from "./message.ts";
import { createScope } from "./scope.ts";
import { type Backoff, createWatch } from "./watch.ts";

export interface HttpUpstreamOptions {
  readonly name: string;
  readonly url: string;
  readonly era: EraChoice;
  /** The gateway's own `clientInfo`: for its own requests, and for callers that gave none. */
  readonly clientInfo: JsonObject;
  /** For the gateway's own requests: negotiation, discovery, change streams. */
  readonly credential?: () => Promise<ReadonlyMap<string, Secret>>;
  readonly timeouts?: Partial<HttpTimeouts>;
  readonly limits?: Partial<HttpLimits>;
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
  /** For change streams. */
  readonly reconnect: Backoff;
}

export interface HttpLimits {
  /** Bytes of one answer or event, and of a whole event stream. */
  readonly answerBytes: number;
  readonly streamBytes: number;
  /** Legacy sessions held at a time. */
  readonly sessions: number;
  readonly connections: number;
}

const TIMEOUTS: HttpTimeouts = {
  connectMs: 10_000,
  idleMs: 120_000,
  sessionIdleMs: 1_800_000,
  reconnect: { firstMs: 1000, maxMs: 60_000 },
};
const LIMITS: HttpLimits = { answerBytes: 8 << 20, streamBytes: 64 << 20, sessions: 1000, connections: 256 };
const CONTENT = ["content-type", "application/json", "accept", "application/json, text/event-stream"];
const NO_CREDENTIAL: ReadonlyMap<string, Secret> = new Map();

/** An upstream over Streamable HTTP. Connections are kept; redirects are never followed, calls never retried. */
export function createHttpUpstream(options: HttpUpstreamOptions): Upstream {
  const { name, clientInfo, clock, era, credential = async () => NO_CREDENTIAL } = options;
  const timeouts = { ...TIMEOUTS, ...options.timeouts };
  const limits = { ...LIMITS, ...options.limits };
  const log = withFields(options.log, { upstream: name });
  const { origin, pathname, search } = new URL(options.url);
  const dispatcher = new Pool(origin, {
    connections: limits.connections,
    connect: { timeout: timeouts.connectMs },
    headersTimeout: 0,
    bodyTimeout: 0,
  });
  const watch = createWatch(follow, timeouts.reconnect, log, clock);
  const link = createLink({
    dispatcher,
    path: pathname + search,
    limits,
    idleMs: timeouts.idleMs,
    postMs: Math.min(timeouts.connectMs, 2000),
    log,
    onToolsChanged: watch.notify,
  });
  const openMs = timeouts.connectMs;
  const modern = createModernEra({ link, clientInfo, content: CONTENT, openMs, onEraRefused: forget });
  const legacy = createLegacyEra({
    link,
    clientInfo,
    content: CONTENT,
    openMs,
    sessionIdleMs: timeouts.sessionIdleMs,
    sessions: limits.sessions,
    clock,
    onSessionLost: forget,
  });
  let identity: UpstreamIdentity | undefined;
  let negotiating: Promise<UpstreamIdentity> | undefined;

  function forget(): void {
    identity = undefined;
  }

  /** Once for all who wait; remembered until there is reason to think that another server answers. */
  async function identified(): Promise<UpstreamIdentity> {
    if (identity !== undefined) return identity;
    negotiating ??= negotiate().finally(() => {
      negotiating = undefined;
    });
    return negotiating;
  }

  async function negotiate(): Promise<UpstreamIdentity> {
    const own = await credential();
    const found = era === "legacy" ? undefined : await modern.probe(own);
    if (found === undefined && era === "modern") {
      throw new PortcullisError("upstream_protocol", { reason: "it does not speak MCP 2026-07-28" });
    }
    identity = found ?? (await legacy.identify(own));
    log.info({ era: identity.era, version: identity.protocolVersion }, "upstream answers");
    return identity;
  }

  async function asGateway(request: UpstreamRequest): Promise<UpstreamRequest> {
    return request.credential.size > 0 ? request : { ...request, credential: await credential() };
  }

  async function request(asked: UpstreamRequest): Promise<UpstreamReply> {
    const scope = createScope(asked.signal, asked.timeoutMs);
    try {
      if (scope.error !== undefined) throw scope.error;
      const answering = identity ?? (await scope.race(identified()));
      const full = asked.owner === GATEWAY_OWNER ? await scope.race(asGateway(asked)) : asked;
      const answer = await (answering.era === "modern" ? modern : legacy).ask(full, scope);
      return { ...answer, era: answering.era };
    } catch (thrown) {
      const error = toPortcullisError(thrown);
      if (error.code === "upstream_unavailable" || error.code === "credential_rejected") forget();
      throw error;
    } finally {
      scope.close();
    }
  }

  async function follow(signal: AbortSignal, onOpen: () => void): Promise<"ended" | "unsupported"> {
    const answering = await identified();
    if (!announcesToolChanges(answering)) return "unsupported";
    const own = await credential();
    const side = answering.era === "modern" ? modern : legacy;
    let status = 0;
    const opened = (received: number) => {
      status = received;
      if (status === 200) onOpen();
    };
    await side.follow(own, signal, opened, (text, reply) => {
      const message = readMessage(text);
      if (message?.kind === "request") reply(answerText(message));
      if (message?.kind === "notification" && message.method === "notifications/tools/list_changed")
        watch.notify();
    });
    return status === 405 || (answering.era === "modern" && status >= 400) ? "unsupported" : "ended";
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
    release: legacy.release,
    onToolsChanged: watch.add,
    async close() {
      watch.close();
      await legacy.close();
      await dispatcher.destroy();
    },
  };
}
