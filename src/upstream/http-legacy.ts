import type { Holder, UpstreamAnswer, UpstreamIdentity, UpstreamRequest } from "../domain.ts";
import type { Clock } from "../lib/clock.ts";
import { PortcullisError } from "../lib/errors.ts";
import { GATEWAY_SESSION } from "../lib/gateway-session.ts";
import type { JsonObject } from "../lib/json.ts";
import type { Log } from "../lib/log.ts";
import type { Secret } from "../lib/secret.ts";
import type { Crowd } from "./crowd.ts";
import { NOTHING, type Outcome, statusError } from "./http-call.ts";
import { LegacyCall } from "./legacy-call.ts";
import { createLegacyListener } from "./legacy-listener.ts";
import type { Link } from "./link.ts";
import type { Attach } from "./listening.ts";
import { notificationText } from "./message.ts";
import { createOwnRequests, isLost } from "./own-requests.ts";
import { createScope, type Scope } from "./scope.ts";
import type { Session } from "./session.ts";
import { createSessions } from "./sessions.ts";
import type { SharedSessions } from "./shared-sessions.ts";
import { createStandalone, type Standalone } from "./standalone.ts";
import type { Backoff } from "./watch.ts";

export interface LegacyOptions {
  readonly link: Link;
  readonly clientInfo: JsonObject;
  readonly content: readonly string[];
  readonly openMs: number;
  readonly sessionIdleMs: number;
  /** Whose sessions there are. */
  readonly crowd: Crowd;
  readonly shared: SharedSessions | undefined;
  readonly reconnect: Backoff;
  readonly log: Log;
  readonly clock: Clock;
  /** The server no longer knows a session: it may be another server now. */
  onSessionLost(): void;
}

export interface LegacyEra {
  identify(credential: ReadonlyMap<string, Secret>): Promise<UpstreamIdentity>;
  ask(request: UpstreamRequest, scope: Scope): Promise<UpstreamAnswer>;
  /** Follows the GET stream of the key's session, and subscribes. */
  readonly attach: Attach;
  release(sessionKey: string): Promise<void>;
  releaseWhere(matches: (holder: Holder) => boolean): Promise<void>;
  rootsChanged(sessionKey: string): Promise<void>;
  close(): Promise<void>;
}

/** After the last call that could be asked something, a session's stream stays open for the next one. */
const LINGER_MS = 30_000;

/** MCP up to 2025-11-25 over Streamable HTTP: one upstream session for each key. */
export function createLegacyEra(options: LegacyOptions): LegacyEra {
  const { link, shared } = options;
  const own = createOwnRequests(options);
  const standalones = new WeakMap<Session, Standalone>();
  const sessions = createSessions({
    crowd: options.crowd,
    idleMs: options.sessionIdleMs,
    clock: options.clock,
    shared,
    async end({ headers }, access) {
      await link.post({ method: "DELETE", headers, access });
    },
  });

  function standaloneOf(sessionKey: string, session: Session): Standalone {
    const known = standalones.get(session);
    if (known !== undefined) return known;
    const standalone = createStandalone({
      link,
      session,
      backoff: options.reconnect,
      // A server sends to one of its client's streams alone: between calls it is left to the other replicas.
      lingerMs: shared === undefined ? LINGER_MS : 0,
      isAlive: (access) => own.isAlive(session, access),
      onLost: () => void lose(sessionKey, session).catch(() => {}),
      log: options.log,
      clock: options.clock,
    });
    standalones.set(session, standalone);
    return standalone;
  }

  async function lose(sessionKey: string, session: Session): Promise<void> {
    await sessions.forget(sessionKey, session);
    options.onSessionLost();
  }

  async function ask(request: UpstreamRequest, scope: Scope, again = true): Promise<UpstreamAnswer> {
    const outcome = await sessions.with(
      request,
      scope,
      () => own.open(request),
      async (session) => {
        const outcome = await askIn(session, request, scope);
        const isOver = isLost(session, outcome);
        if (isOver || isDoubtful(session, outcome)) await lose(request.sessionKey, session);
        return isOver ? undefined : outcome;
      },
    );
    if (outcome?.answer !== undefined) return outcome.answer;
    if (outcome !== undefined) throw statusError(outcome);
    if (again) return ask(request, scope, false);
    throw new PortcullisError("upstream_unavailable", { reason: "it forgets its sessions" });
  }

  function askIn(session: Session, request: UpstreamRequest, scope: Scope): Promise<Outcome> {
    const isPlain = request.logLevel === undefined && request.isAskable !== true;
    return isPlain ? converse(link, session, request, scope) : askAttended(session, request, scope);
  }

  /** With what has to stand beside the request: the log level that it wants, the stream on which it may be asked. */
  async function askAttended(session: Session, request: UpstreamRequest, scope: Scope): Promise<Outcome> {
    const { logLevel, isAskable, sessionKey } = request;
    if (logLevel !== undefined) {
      const outcome = await own.setLogLevel(session, logLevel, request, scope);
      if (outcome !== undefined && isLost(session, outcome)) return outcome;
    }
    if (isAskable !== true || session.id === "") return converse(link, session, request, scope);
    const { opened, leave } = standaloneOf(sessionKey, session).join({ access: request });
    try {
      await scope.race(opened);
      return await converse(link, session, request, scope);
    } finally {
      leave();
    }
  }

  const attach = createLegacyListener({
    openMs: options.openMs,
    own,
    with: (wanted, scope, use) => sessions.with(wanted, scope, () => own.open(wanted), use),
    standaloneOf,
    lose,
  });

  return {
    async identify(credential) {
      const scope = createScope(null, options.openMs);
      try {
        const known = await sessions.known(GATEWAY_SESSION);
        if (known?.id === "") await sessions.forget(GATEWAY_SESSION, known);
        const opener = { clientInfo: null, credential, decisionId: "" };
        return await sessions.with(
          { sessionKey: GATEWAY_SESSION, credential },
          scope,
          () => own.open(opener),
          async ({ identity }) => identity,
        );
      } finally {
        scope.close();
      }
    },
    ask,
    attach,
    release: sessions.release,
    releaseWhere: sessions.releaseWhere,
    async rootsChanged(sessionKey) {
      const session = await sessions.known(sessionKey);
      if (session === undefined) return;
      const body = notificationText("notifications/roots/list_changed");
      await link.post({ method: "POST", headers: session.headers, access: NOTHING, body });
    },
    close: sessions.close,
  };
}

async function converse(
  link: Link,
  session: Session,
  request: UpstreamRequest,
  scope: Scope,
): Promise<Outcome> {
  const call = new LegacyCall(link, session, request, scope);
  try {
    return await link.call(call, scope);
  } finally {
    call.close();
  }
}

/** A server without sessions never says that it is another one now: it refuses what it agreed to before. */
function isDoubtful(session: Session, { status }: Outcome): boolean {
  return session.id === "" && status === 400;
}
