import type { Era, Listed, UpstreamAnswer, UpstreamIdentity } from "../domain.ts";
import { PortcullisError } from "../lib/errors.ts";
import { isJsonObject, type Json, type JsonObject } from "../lib/json.ts";
import { valueIn } from "../lib/json-text.ts";
import { elementsOf, memberOf, membersOf, scalarIn } from "../lib/members.ts";

/** `auto` tries the modern era first and falls back. */
export type EraChoice = Era | "auto";

export const MODERN_VERSION = "2026-07-28";
const LEGACY_VERSION = "2025-11-25";
const LEGACY_VERSIONS = [LEGACY_VERSION, "2025-06-18", "2025-03-26", "2024-11-05"];

const PREFIX = "io.modelcontextprotocol/";
/** The keys of `_meta` that belong to a leg and never pass from a caller. */
const OWN_META = new Set([
  "progressToken",
  `${PREFIX}protocolVersion`,
  `${PREFIX}clientInfo`,
  `${PREFIX}clientCapabilities`,
  `${PREFIX}subscriptionId`,
  `${PREFIX}logLevel`,
]);

/** MCP 2026-07-28, basic: what `_meta` of every modern request carries. */
export function modernMeta(
  clientInfo: JsonObject,
  capabilities: JsonObject = {},
  logLevel?: string,
): JsonObject {
  return {
    [`${PREFIX}protocolVersion`]: MODERN_VERSION,
    [`${PREFIX}clientInfo`]: clientInfo,
    [`${PREFIX}clientCapabilities`]: capabilities,
    ...(logLevel !== undefined && { [`${PREFIX}logLevel`]: logLevel }),
  };
}

/** Params as they go upstream: the caller's, with the leg's own `_meta` keys in place of any the caller sent. */
export function outboundParams(
  params: JsonObject,
  own: JsonObject | null,
  progressToken?: number,
): JsonObject {
  if (params._meta === undefined && own === null && progressToken === undefined) return params;
  const { _meta: given, ...rest } = params;
  const passed = isJsonObject(given) ? Object.entries(given).filter(([key]) => !OWN_META.has(key)) : [];
  const token = progressToken === undefined ? {} : { progressToken };
  const meta: JsonObject = { ...Object.fromEntries(passed), ...own, ...token };
  return Object.keys(meta).length === 0 ? rest : { ...rest, _meta: meta };
}

const NAME_SOURCE: Readonly<Record<string, string>> = {
  "tools/call": "name",
  "prompts/get": "name",
  "resources/read": "uri",
  // SEP-2663: whoever routes by headers must find the server that has the task.
  "tasks/get": "taskId",
  "tasks/update": "taskId",
  "tasks/cancel": "taskId",
};

/** MCP 2026-07-28, Streamable HTTP: `Mcp-Method`, `Mcp-Name` and `Mcp-Param-*`, flat name-value pairs. */
export function modernHeaders(
  method: string,
  params: JsonObject,
  paramHeaders: ReadonlyMap<string, string> | undefined,
): string[] {
  const headers = ["mcp-method", method];
  const source = Object.hasOwn(NAME_SOURCE, method) ? params[NAME_SOURCE[method] ?? ""] : undefined;
  if (typeof source === "string") headers.push("mcp-name", headerValue(source));
  for (const [name, value] of paramHeaders ?? [])
    headers.push(`mcp-param-${name.toLowerCase()}`, headerValue(value));
  return headers;
}

/** A value that is not a plain visible ASCII field value travels as `=?base64?…?=`. */
function headerValue(value: string): string {
  const plain =
    /^[\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?$/.test(value) && !/^=\?base64\?.*\?=$/s.test(value);
  return plain ? value : `=?base64?${Buffer.from(value, "utf8").toString("base64")}?=`;
}

/** Who a modern server says it is in its `server/discover` result; undefined when it does not speak 2026-07-28. */
export function modernIdentity(answer: UpstreamAnswer): UpstreamIdentity | undefined {
  if (answer.kind !== "result") return undefined;
  const result = valueIn(answer.text) as JsonObject;
  const versions = result.supportedVersions;
  if (!Array.isArray(versions) || !versions.includes(MODERN_VERSION)) return undefined;
  const serverInfo = objectOf(objectOf(result._meta)[`${PREFIX}serverInfo`]);
  return identity("modern", MODERN_VERSION, serverInfo, result);
}

/** Who a legacy server says it is in its `initialize` result. Throws `upstream_protocol`. */
export function legacyIdentity(answer: UpstreamAnswer): UpstreamIdentity {
  const result = answer.kind === "result" ? (valueIn(answer.text) as JsonObject) : {};
  const version = result.protocolVersion;
  if (typeof version !== "string" || !LEGACY_VERSIONS.includes(version)) {
    throw new PortcullisError("upstream_protocol", {
      reason: "initialize was refused or offers no known version",
    });
  }
  return identity("legacy", version, objectOf(result.serverInfo), result);
}

function identity(
  era: Era,
  protocolVersion: string,
  serverInfo: JsonObject,
  result: JsonObject,
): UpstreamIdentity {
  const { capabilities, instructions } = result;
  return {
    era,
    protocolVersion,
    serverInfo,
    capabilities: objectOf(capabilities),
    instructions: typeof instructions === "string" ? instructions : "",
  };
}

export function initializeParams(clientInfo: JsonObject, capabilities: JsonObject = {}): JsonObject {
  return { protocolVersion: LEGACY_VERSION, capabilities, clientInfo };
}

const LISTS: readonly Listed[] = ["tools", "resources", "prompts"];

/** The list whose change a notification announces, if it does. */
export function changedList(method: string): Listed | undefined {
  return LISTS.find((list) => method === `notifications/${list}/list_changed`);
}

/** The lists whose changes a server promises to announce. */
export function announcedLists({ capabilities }: UpstreamIdentity): readonly Listed[] {
  return LISTS.filter((list) => objectOf(capabilities[list]).listChanged === true);
}

/** Params of `subscriptions/listen` (2026-07-28). */
export function listenParams(lists: readonly Listed[], uris: readonly string[]): JsonObject {
  const changes = lists.map((list) => [`${list}ListChanged`, true] as const);
  const updates = uris.length === 0 ? {} : { resourceSubscriptions: uris };
  return { notifications: { ...Object.fromEntries(changes), ...updates } };
}

/** The error of a URI that a server did not agree to tell of. */
export const NOT_HONOURED =
  '{"code":-32602,"message":"The server does not let its client subscribe to this resource."}';

/** What a server agreed to, by the params of its `notifications/subscriptions/acknowledged` (2026-07-28). */
export function honouredIn(params: string): {
  readonly uris: readonly unknown[];
  readonly isNothing: boolean;
} {
  try {
    const agreed = membersOf(objectIn(memberOf(objectIn(params), "notifications")));
    const uris = agreed.get("resourceSubscriptions");
    return {
      uris: uris?.startsWith("[") ? elementsOf(uris).map(scalarIn) : [],
      isNothing: agreed.size === 0,
    };
  } catch {
    return { uris: [], isNothing: true };
  }
}

function objectIn(text: string | undefined): string {
  return text?.startsWith("{") ? text : "{}";
}

export function announcesLogging({ capabilities }: UpstreamIdentity): boolean {
  return isJsonObject(capabilities.logging);
}

const CAPABILITIES = ["sampling", "elicitation", "roots", "tasks", "experimental", "extensions"];

/** Of a client's capabilities those that a legacy server can make use of. */
export function knownCapabilities(given: JsonObject | null | undefined): JsonObject {
  const known = Object.entries(given ?? {}).filter(
    ([name, value]) => CAPABILITIES.includes(name) && isJsonObject(value),
  );
  return Object.fromEntries(known);
}

function objectOf(value: Json | undefined): JsonObject {
  return isJsonObject(value) ? value : {};
}
