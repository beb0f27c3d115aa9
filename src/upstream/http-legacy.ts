import type { UpstreamAnswer, UpstreamIdentity, UpstreamRequest } from "../domain.ts";
import type { Clock } from "../lib/clock.ts";
import { PortcullisError } from "../lib/errors.ts";
import type { JsonObject } from "../lib/json.ts";
import { GATEWAY_OWNER } from "../lib/owner.ts";
import type { Secret } from "../lib/secret.ts";
import { initializeParams, legacyIdentity, outboundParams } from "./era.ts";
import { type Outcome, statusError } from "./http-call.ts";
import type { Link } from "./link.ts";
import { notificationText, requestText } from "./message.ts";
import { createScope, type Scope } from "./scope.ts";
import { createSessions, type Session } from "./sessions.ts";

export interface LegacyOptions {
  readonly link: Link;
  readonly clientInfo: JsonObject;
  readonly content: readonly string[];
  readonly openMs: number;
  readonly sessionIdleMs: number;
  readonly sessions: number;
  readonly clock: Clock;
  /** The server no longer knows a session: it may be another server now. */
  onSessionLost(): void;
}

export interface LegacyEra {
  identify(credential: ReadonlyMap<string, Secret>): Promise<UpstreamIdentity>;
  ask(request: UpstreamRequest, scope: Scope): Promise<UpstreamAnswer>;
  /** Follows the GET stream of the gateway's own session. */
  follow(
    credential: ReadonlyMap<string, Secret>,
    signal: AbortSignal,
    onOpen: (status: number) => void,
    text: (text: string, reply: (answer: string) => void) => void,
  ): Promise<void>;
  release(owner: string): Promise<void>;
  close(): Promise<void>;
}

type Opener = Pick<UpstreamRequest, "clientInfo" | "credential" | "decisionId">;

const NO_CREDENTIAL: ReadonlyMap<string, Secret> = new Map();

/** MCP up to 2025-11-25 over Streamable HTTP: one upstream session for each owner. */
export function createLegacyEra(options: LegacyOptions): LegacyEra {
  const { link, content } = options;
  const sessions = createSessions({
    max: options.sessions,
    idleMs: options.sessionIdleMs,
    clock: options.clock,
    async end({ headers }) {
      await link.post({ method: "DELETE", headers, credential: NO_CREDENTIAL });
    },
  });

  async function open({ clientInfo, credential, decisionId }: Opener): Promise<Session> {
    const id = link.nextId();
    const body = requestText(id, "initialize", initializeParams(clientInfo ?? options.clientInfo));
    const scope = createScope(null, options.openMs);
    try {
      const outcome = await link.call({ id, body, headers: content, credential, decisionId }, scope);
      if (outcome.answer === undefined) throw statusError(outcome);
      const session = sessionOf(outcome, legacyIdentity(outcome.answer));
      const initialized = notificationText("notifications/initialized");
      const status = await link.post({
        method: "POST",
        headers: session.headers,
        credential,
        body: initialized,
      });
      if (status < 200 || status > 299)
        throw new PortcullisError("upstream_unavailable", { reason: "initialized was refused" });
      return session;
    } finally {
      scope.close();
    }
  }

  function sessionOf({ session: id }: Outcome, identity: UpstreamIdentity): Session {
    if (!/^[\x21-\x7e]{0,1024}$/.test(id))
      throw new PortcullisError("upstream_protocol", { reason: "bad session id" });
    const headers = [...content, "mcp-protocol-version", identity.protocolVersion];
    return { id, identity, headers: id === "" ? headers : [...headers, "mcp-session-id", id] };
  }

  async function ask(request: UpstreamRequest, scope: Scope, again = true): Promise<UpstreamAnswer> {
    const { owner } = request;
    const outcome = await sessions.with(
      owner,
      scope,
      () => open(request),
      async (session) => {
        const outcome = await askIn(session, request, scope);
        if (!isLost(session, outcome)) return outcome;
        sessions.forget(owner, session);
        return undefined;
      },
    );
    if (outcome?.answer !== undefined) return outcome.answer;
    if (outcome !== undefined) throw statusError(outcome);
    options.onSessionLost();
    if (again) return ask(request, scope, false);
    throw new PortcullisError("upstream_unavailable", { reason: "it forgets its sessions" });
  }

  function askIn({ headers }: Session, request: UpstreamRequest, scope: Scope): Promise<Outcome> {
    const { method, params, credential, decisionId, progressToken, onNotification } = request;
    const id = link.nextId();
    const outbound = outboundParams(params, null, progressToken === undefined ? undefined : id);
    const tell = (body: string) => link.post({ method: "POST", headers, credential, body }).catch(() => 0);
    return link.call(
      {
        id,
        body: requestText(id, method, outbound),
        headers,
        credential,
        decisionId,
        ...(progressToken === undefined ? {} : { progressToken }),
        ...(onNotification === undefined
          ? {}
          : { onNotification: (kind, text) => request.onNotification?.(kind, text) }),
        onQuestion: tell,
        onCut: () =>
          tell(notificationText("notifications/cancelled", { requestId: id, reason: "cancelled" })),
      },
      scope,
    );
  }

  return {
    async identify(credential) {
      const scope = createScope(null, options.openMs);
      try {
        const opener = { clientInfo: null, credential, decisionId: "" };
        return await sessions.with(
          GATEWAY_OWNER,
          scope,
          () => open(opener),
          async ({ identity }) => identity,
        );
      } finally {
        scope.close();
      }
    },
    ask,
    async follow(credential, signal, onOpen, text) {
      const scope = createScope(signal, options.openMs);
      const opener = { clientInfo: null, credential, decisionId: "" };
      await sessions.with(
        GATEWAY_OWNER,
        scope,
        () => open(opener),
        async (session) => {
          scope.close();
          const { headers } = session;
          const opened = (status: number) => {
            if (status === 404 || status === 400) sessions.forget(GATEWAY_OWNER, session);
            onOpen(status);
          };
          const reply = (body: string) => link.post({ method: "POST", headers, credential, body });
          await link.stream({
            method: "GET",
            headers,
            credential,
            signal,
            onOpen: opened,
            text: (one) => text(one, reply),
          });
        },
      );
    },
    release: sessions.release,
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
