import type { UpstreamAnswer, UpstreamIdentity, UpstreamRequest } from "../domain.ts";
import { PortcullisError } from "../lib/errors.ts";
import type { JsonObject } from "../lib/json.ts";
import type { Secret } from "../lib/secret.ts";
import {
  LISTEN_PARAMS,
  MODERN_VERSION,
  modernHeaders,
  modernIdentity,
  modernMeta,
  outboundParams,
} from "./era.ts";
import { statusError } from "./http-call.ts";
import type { Link } from "./link.ts";
import { requestText } from "./message.ts";
import { createScope, type Scope } from "./scope.ts";

export interface ModernOptions {
  readonly link: Link;
  readonly clientInfo: JsonObject;
  readonly content: readonly string[];
  readonly openMs: number;
  /** The server refused the era itself: it may be another server now. */
  onEraRefused(): void;
}

export interface ModernEra {
  /** Who answers `server/discover`; undefined when whoever answers does not speak this era. */
  probe(credential: ReadonlyMap<string, Secret>): Promise<UpstreamIdentity | undefined>;
  ask(request: UpstreamRequest, scope: Scope): Promise<UpstreamAnswer>;
  /** Follows `subscriptions/listen`. */
  follow(
    credential: ReadonlyMap<string, Secret>,
    signal: AbortSignal,
    onOpen: (status: number) => void,
    text: (text: string, reply: (answer: string) => void) => void,
  ): Promise<void>;
}

/** UnsupportedProtocolVersion of 2026-07-28, and what the official legacy servers answer ahead of any handler. */
const ERA_REFUSALS = [-32022, -32000];

/** MCP 2026-07-28 over Streamable HTTP: no session; closing the stream is how a request is cancelled. */
export function createModernEra({
  link,
  clientInfo,
  content,
  openMs,
  onEraRefused,
}: ModernOptions): ModernEra {
  const base = [...content, "mcp-protocol-version", MODERN_VERSION];

  function messageOf(method: string, params: JsonObject, client: JsonObject | null, progress: boolean) {
    const id = link.nextId();
    const outbound = outboundParams(params, modernMeta(client ?? clientInfo), progress ? id : undefined);
    return { id, body: requestText(id, method, outbound) };
  }

  return {
    async probe(credential) {
      const scope = createScope(null, openMs);
      const method = "server/discover";
      const headers = [...base, ...modernHeaders(method, {}, undefined)];
      try {
        const message = messageOf(method, {}, null, false);
        const outcome = await link.call({ ...message, headers, credential, decisionId: "" }, scope);
        const { status, answer } = outcome;
        if (answer !== undefined && status < 500) return modernIdentity(answer);
        if (status >= 500 || status === 401 || status === 403) throw statusError(outcome);
        return undefined;
      } catch (error) {
        if (error instanceof PortcullisError && error.code === "upstream_protocol") return undefined;
        throw error;
      } finally {
        scope.close();
      }
    },

    async ask(request, scope) {
      const { method, params, credential, decisionId, progressToken, paramHeaders } = request;
      const outcome = await link.call(
        {
          ...messageOf(method, params, request.clientInfo, progressToken !== undefined),
          headers: [...base, ...modernHeaders(method, params, paramHeaders)],
          credential,
          decisionId,
          ...(progressToken === undefined ? {} : { progressToken }),
          onNotification: (kind, text) => request.onNotification?.(kind, text),
        },
        scope,
      );
      if (outcome.status === 400 && ERA_REFUSALS.includes(outcome.code)) onEraRefused();
      if (outcome.answer === undefined) throw statusError(outcome);
      return outcome.answer;
    },

    follow(credential, signal, onOpen, text) {
      const method = "subscriptions/listen";
      const headers = [...base, ...modernHeaders(method, {}, undefined)];
      const { body } = messageOf(method, LISTEN_PARAMS, null, false);
      // A modern server asks nothing: there is no way to reply.
      return link.stream({
        method: "POST",
        headers,
        credential,
        body,
        signal,
        onOpen,
        text: (one) => text(one, () => {}),
      });
    },
  };
}
