import type { UpstreamAnswer, UpstreamIdentity, UpstreamRequest } from "../domain.ts";
import { PortcullisError } from "../lib/errors.ts";
import type { JsonObject } from "../lib/json.ts";
import type { Secret } from "../lib/secret.ts";
import { MODERN_VERSION, modernHeaders, modernIdentity, modernMeta, outboundParams } from "./era.ts";
import { type Call, type Outcome, statusError } from "./http-call.ts";
import type { Link } from "./link.ts";
import type { Attach } from "./listening.ts";
import { requestText } from "./message.ts";
import { type Compose, createModernListener } from "./modern-listener.ts";
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
  readonly attach: Attach;
}

/** UnsupportedProtocolVersion of 2026-07-28, and what the official legacy servers answer ahead of any handler. */
const ERA_REFUSALS = [-32022, -32000];

/** MCP 2026-07-28 over Streamable HTTP: no session; closing the stream is how a request is cancelled. */
export function createModernEra(options: ModernOptions): ModernEra {
  const { link, content, openMs, onEraRefused } = options;
  const base = [...content, "mcp-protocol-version", MODERN_VERSION];

  const compose: Compose = (method, params, asker, { progressToken, paramHeaders } = {}) => {
    const id = link.nextId();
    const { clientInfo, clientCapabilities, logLevel } = asker;
    const meta = modernMeta(clientInfo ?? options.clientInfo, clientCapabilities ?? {}, logLevel);
    const outbound = outboundParams(params, meta, progressToken === undefined ? undefined : id);
    const headers = [...base, ...modernHeaders(method, params, paramHeaders)];
    return { id, body: requestText(id, method, outbound), headers };
  };

  function refusesEra({ status, code }: Pick<Outcome, "status" | "code">): boolean {
    const refuses = status === 400 && ERA_REFUSALS.includes(code);
    if (refuses) onEraRefused();
    return refuses;
  }

  return {
    async probe(credential) {
      const scope = createScope(null, openMs);
      try {
        const message = compose("server/discover", {}, { clientInfo: null });
        const outcome = await link.call({ ...message, access: { credential }, decisionId: "" }, scope);
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
      const { id, body, headers } = compose(request.method, request.params, request, request);
      const { decisionId, progressToken } = request;
      const onNotification = (method: string, params: string) => request.onNotification?.(method, params);
      const call: Call = { id, body, headers, access: request, decisionId, progressToken, onNotification };
      const outcome = await link.call(call, scope);
      refusesEra(outcome);
      if (outcome.answer === undefined) throw statusError(outcome);
      return outcome.answer;
    },

    attach: createModernListener({ link, compose, openMs, refusesEra }),
  };
}
