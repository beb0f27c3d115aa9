import type { Holder, UpstreamAnswer, UpstreamIdentity, UpstreamRequest } from "../domain.ts";
import type { Clock } from "../lib/clock.ts";
import { PortcullisError } from "../lib/errors.ts";
import { GATEWAY_SESSION } from "../lib/gateway-session.ts";
import type { JsonObject } from "../lib/json.ts";
import type { Log } from "../lib/log.ts";
import type { Secret } from "../lib/secret.ts";
import type { Crowd } from "./crowd.ts";
import { announcesLogging, initializeParams, knownCapabilities, legacyIdentity } from "./era.ts";
import { type Access, NOTHING, type Outcome, statusError } from "./http-call.ts";
import { LegacyCall } from "./legacy-call.ts";
import { createLegacyListener } from "./legacy-listener.ts";
import type { Link } from "./link.ts";
import type { Attach } from "./listening.ts";
import { notificationText, requestText } from "./message.ts";
import { createScope, type Scope } from "./scope.ts";
import { createSession, type Session } from "./session.ts";
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

export type Opener = Pick<
  UpstreamRequest,
  "clientInfo" | "clientCapabilities" | "credential" | "lease" | "decisionId"
>;

/** After the last call that could be asked something, a session's stream stays open for the next one. */
const LINGER_MS = 30_000;

/** MCP up to 2025-11-25 over Streamable HTTP: one upstream session for each key. */
export function createLegacyEra(options: LegacyOptions): LegacyEra {
  const { link, content, shared } = options;
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

  async function open(opener: Opener): Promise<Session> {
    const id = link.nextId();
    const { clientInfo, clientCapabilities, decisionId } = opener;
    const params = initializeParams(clientInfo ?? options.clientInfo, knownCapabilities(clientCapabilities));
    const body = requestText(id, "initialize", params);
    const scope = createScope(null, options.openMs);
    try {
      const outcome = await link.call({ id, body, headers: content, access: opener, decisionId }, scope);
      if (outcome.answer === undefined) throw statusError(outcome);
      const session = createSession(outcome.session, legacyIdentity(outcome.answer), content);
      const initialized = notificationText("notifications/initialized");
      const { headers } = session;
      const status = await link.post({ method: "POST", headers, access: opener, body: initialized });
      if (status >= 200 && status <= 299) return session;
      if (session.id !== "") await link.post({ method: "DELETE", headers, access: opener });
      throw new PortcullisError("upstream_unavailable", { reason: "initialized was refused" });
    } finally {
      scope.close();
    }
  }

  function standaloneOf(sessionKey: string, session: Session): Standalone {
    const known = standalones.get(session);
    if (known !== undefined) return known;
    const standalone = createStandalone({
      link,
      session,
      backoff: options.reconnect,
      // A server sends to one of its client's streams alone: between calls it is left to the other replicas.
      lingerMs: shared === undefined ? LINGER_MS : 0,
      isAlive: (access) => isAlive(session, access),
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
      () => open(request),
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
    return isPlain ? converse(session, request, scope) : askAttended(session, request, scope);
  }

  /** With what has to stand beside the request: the log level that it wants, the stream on which it may be asked. */
  async function askAttended(session: Session, request: UpstreamRequest, scope: Scope): Promise<Outcome> {
    const { logLevel, isAskable, sessionKey } = request;
    if (logLevel !== undefined) {
      const outcome = await setLogLevel(session, logLevel, request, scope);
      if (outcome !== undefined && isLost(session, outcome)) return outcome;
    }
    if (isAskable !== true || session.id === "") return converse(session, request, scope);
    const { opened, leave } = standaloneOf(sessionKey, session).join({ access: request });
    try {
      await scope.race(opened);
      return await converse(session, request, scope);
    } finally {
      leave();
    }
  }

  async function converse(session: Session, request: UpstreamRequest, scope: Scope): Promise<Outcome> {
    const call = new LegacyCall(link, session, request, scope);
    try {
      return await link.call(call, scope);
    } finally {
      call.close();
    }
  }

  /** A request of the leg's own. */
  function tell(session: Session, method: string, params: JsonObject, access: Access, scope: Scope) {
    const id = link.nextId();
    const body = requestText(id, method, params);
    return link.call({ id, body, headers: session.headers, access, decisionId: "" }, scope);
  }

  /** Undefined where there is nothing to tell. A refusal is the server's affair: it sends what it likes. */
  async function setLogLevel(session: Session, level: string, access: Access, scope: Scope) {
    if (session.logLevel === level || !announcesLogging(session.identity)) return undefined;
    const outcome = await tell(session, "logging/setLevel", { level }, access, scope);
    if (outcome.answer?.kind === "result") session.logLevel = level;
    return outcome;
  }

  async function isAlive(session: Session, access: Access): Promise<boolean> {
    const scope = createScope(session.over.signal, options.openMs);
    try {
      return !isLost(session, await tell(session, "ping", {}, access, scope));
    } catch {
      return true;
    } finally {
      scope.close();
    }
  }

  const attach = createLegacyListener({
    openMs: options.openMs,
    with: (wanted, scope, use) => sessions.with(wanted, scope, () => open(wanted), use),
    standaloneOf,
    setLogLevel,
    tell,
    isLost,
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
          () => open(opener),
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

/**
 * The server refused the request for its session, so it did not run. 404 by the specification; the official SDK's
 * servers also answer 400 with -32000 ahead of any handler.
 */
function isLost(session: Session, { status, code }: Outcome): boolean {
  return session.id !== "" && (status === 404 || (status === 400 && code === -32000));
}

/** A server without sessions never says that it is another one now: it refuses what it agreed to before. */
function isDoubtful(session: Session, { status }: Outcome): boolean {
  return session.id === "" && status === 400;
}
