import type { UpstreamIdentity } from "../domain.ts";
import { PortcullisError } from "../lib/errors.ts";
import { Transients } from "../lib/transients.ts";
import type { ServerRequest } from "./questions.ts";

/** A request under way, as far as the session's own stream has to do with it. */
interface PendingCall {
  readonly mayAsk: boolean;
  onRequest(request: ServerRequest): void;
  onCancelled(params: string): void;
  /** false: the progress is not this call's. */
  onProgress(params: string): boolean;
}

/** A legacy session with an upstream. */
export interface Session {
  /** `Mcp-Session-Id`, or "" for a server that keeps none. */
  readonly id: string;
  readonly identity: UpstreamIdentity;
  /** Headers of every request of this session, flat name-value pairs. */
  readonly headers: readonly string[];
  /** What it is asked now, by id. */
  readonly pending: Transients<PendingCall>;
  /** Aborts when the session is over. */
  readonly over: AbortController;
  /** The least severe log message that it was told to send; undefined: it was told nothing. */
  logLevel: string | undefined;
}

/**
 * A session as its server opened it.
 *
 * @throws PortcullisError `upstream_protocol` for an id that no header may have.
 */
export function createSession(id: string, identity: UpstreamIdentity, content: readonly string[]): Session {
  if (!/^[\x21-\x7e]{0,1024}$/.test(id))
    throw new PortcullisError("upstream_protocol", { reason: "bad session id" });
  const headers = [...content, "mcp-protocol-version", identity.protocolVersion];
  return {
    id,
    identity,
    headers: id === "" ? headers : [...headers, "mcp-session-id", id],
    pending: new Transients(),
    over: new AbortController(),
    logLevel: undefined,
  };
}
