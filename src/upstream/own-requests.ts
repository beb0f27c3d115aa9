import type { UpstreamRequest } from "../domain.ts";
import { PortcullisError } from "../lib/errors.ts";
import type { JsonObject } from "../lib/json.ts";
import { announcesLogging, initializeParams, knownCapabilities, legacyIdentity } from "./era.ts";
import { type Access, type Outcome, statusError } from "./http-call.ts";
import type { Link } from "./link.ts";
import { notificationText, requestText } from "./message.ts";
import { createScope, type Scope } from "./scope.ts";
import { createSession, type Session } from "./session.ts";

export interface OwnRequestsOptions {
  readonly link: Link;
  readonly clientInfo: JsonObject;
  readonly content: readonly string[];
  /** For opening a session, and for asking whether there still is one, milliseconds. */
  readonly openMs: number;
}

export type Opener = Pick<
  UpstreamRequest,
  "clientInfo" | "clientCapabilities" | "credential" | "lease" | "decisionId"
>;

/** What the leg itself asks a legacy server, for a client's sake. */
export interface OwnRequests {
  /** A new session. Rejects with `upstream_*`; then none is left behind. */
  open(opener: Opener): Promise<Session>;
  ask(session: Session, method: string, params: JsonObject, access: Access, scope: Scope): Promise<Outcome>;
  /** Undefined where there is nothing to tell. A refusal is the server's affair: it sends what it likes. */
  setLogLevel(session: Session, level: string, access: Access, scope: Scope): Promise<Outcome | undefined>;
  /** Whether the server still knows the session; true where it does not say. */
  isAlive(session: Session, access: Access): Promise<boolean>;
}

export function createOwnRequests({ link, clientInfo, content, openMs }: OwnRequestsOptions): OwnRequests {
  async function open(opener: Opener): Promise<Session> {
    const scope = createScope(null, openMs);
    try {
      const session = await initialize(opener, scope);
      const { headers } = session;
      const initialized = notificationText("notifications/initialized");
      const status = await link.post({ method: "POST", headers, access: opener, body: initialized });
      if (status >= 200 && status <= 299) return session;
      if (session.id !== "") await link.post({ method: "DELETE", headers, access: opener });
      throw new PortcullisError("upstream_unavailable", { reason: "initialized was refused" });
    } finally {
      scope.close();
    }
  }

  async function initialize(opener: Opener, scope: Scope): Promise<Session> {
    const id = link.nextId();
    const capabilities = knownCapabilities(opener.clientCapabilities);
    const body = requestText(
      id,
      "initialize",
      initializeParams(opener.clientInfo ?? clientInfo, capabilities),
    );
    const { decisionId } = opener;
    const outcome = await link.call({ id, body, headers: content, access: opener, decisionId }, scope);
    if (outcome.answer === undefined) throw statusError(outcome);
    return createSession(outcome.session, legacyIdentity(outcome.answer), content);
  }

  const ask: OwnRequests["ask"] = ({ headers }, method, params, access, scope) => {
    const id = link.nextId();
    return link.call({ id, body: requestText(id, method, params), headers, access, decisionId: "" }, scope);
  };

  return {
    open,
    ask,
    async setLogLevel(session, level, access, scope) {
      if (session.logLevel === level || !announcesLogging(session.identity)) return undefined;
      const outcome = await ask(session, "logging/setLevel", { level }, access, scope);
      if (outcome.answer?.kind === "result") session.logLevel = level;
      return outcome;
    },
    async isAlive(session, access) {
      const scope = createScope(session.over.signal, openMs);
      try {
        return !isLost(session, await ask(session, "ping", {}, access, scope));
      } catch {
        return true;
      } finally {
        scope.close();
      }
    },
  };
}

/**
 * The server refused the request for its session, so it did not run. 404 by the specification; the official SDK's
 * servers also answer 400 with -32000 ahead of any handler.
 */
export function isLost(session: Session, { status, code }: Outcome): boolean {
  return session.id !== "" && (status === 404 || (status === 400 && code === -32000));
}
