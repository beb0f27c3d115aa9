import type { Era } from "../domain.ts";
import { PortcullisError } from "../lib/errors.ts";
import type { JsonObject } from "../lib/json.ts";
import { joinMembers, memberOf, membersOf, scalarIn } from "../lib/members.ts";
import { isServed, LEGACY_VERSIONS, META, MODERN_VERSIONS } from "./versions.ts";

/** What a virtual server says of itself. */
export interface ServerDescription {
  /** `{name, version, title?}` */
  readonly serverInfo: JsonObject;
  readonly capabilities: JsonObject;
  /** "" for none. */
  readonly instructions: string;
}

/** MCP 2025-11-25, Version Negotiation: the version asked for where it is served, else the newest. */
export function negotiate(requested: string): string {
  return isServed(LEGACY_VERSIONS, requested) ? requested : LEGACY_VERSIONS[0];
}

/** The result of `initialize`, as JSON text. */
export function initializeResult(protocolVersion: string, server: ServerDescription): string {
  const { serverInfo, capabilities, instructions } = server;
  return JSON.stringify({
    protocolVersion,
    capabilities,
    serverInfo,
    ...(instructions !== "" && { instructions }),
  });
}

/** What policy filters is one caller's, and a policy may change at any time (MCP 2026-07-28, Caching). */
const NOT_CACHED = { ttlMs: 0, cacheScope: "private" } as const;

/** The result of `server/discover`, as JSON text. */
export function discoverResult({ serverInfo, capabilities, instructions }: ServerDescription): string {
  return JSON.stringify({
    resultType: "complete",
    supportedVersions: MODERN_VERSIONS,
    capabilities,
    ...(instructions !== "" && { instructions }),
    ...NOT_CACHED,
    _meta: { [META.serverInfo]: serverInfo },
  });
}

/** The result of a list method, as JSON text, around the raw text of each definition. */
export function listResult(
  era: Era,
  member: string,
  definitions: readonly string[],
  next?: string,
  serverInfo?: JsonObject,
): string {
  const result = new Map([[member, `[${definitions.join(",")}]`]]);
  if (next !== undefined) result.set("nextCursor", JSON.stringify(next));
  if (era === "legacy") return joinMembers(result);
  setCacheHints(result);
  return completed(result, serverInfo);
}

/** A modern result says what it is, and whose it is. */
export function completed(
  result: Map<string, string>,
  serverInfo: JsonObject | undefined,
  type = "complete",
): string {
  result.set("resultType", JSON.stringify(type));
  if (serverInfo !== undefined) {
    const meta = membersOf(result.get("_meta") ?? "{}");
    result.set("_meta", joinMembers(meta.set(META.serverInfo, JSON.stringify(serverInfo))));
  }
  return joinMembers(result);
}

/** The empty result of `ping` and its like. */
export const EMPTY_RESULT = "{}";

export interface Translation {
  readonly method: string;
  /** Whose words it is in, and whose it shall be in. */
  readonly from: Era;
  readonly to: Era;
  /** For a modern caller of a legacy upstream. */
  readonly serverInfo?: JsonObject;
}

/** What modern results must say of how long they hold (MCP 2026-07-28, Caching), besides our own lists. */
const CACHEABLE: ReadonlySet<string> = new Set(["resources/read"]);
const MODERN_MEMBERS = ["resultType", "ttlMs", "cacheScope"] as const;

/**
 * An upstream's complete result in the words of the caller's era; every member that is not of an era passes as the
 * bytes it was sent in. What asks for input or became a task is read with `readInputRequired` and `readTask` first.
 *
 * @throws PortcullisError `upstream_protocol` for a modern result that is not complete
 */
export function translateResult(result: string, translation: Translation): string {
  const { method, from, to, serverInfo } = translation;
  if (from === "legacy" && to === "legacy") return result;
  const members = membersOf(result);
  if (from === "legacy") {
    if (CACHEABLE.has(method)) setCacheHints(members);
    return completed(members, serverInfo);
  }
  const type = resultTypeOf(members);
  // Its maker alone can follow it: whoever passes it on has noted whose it is.
  if (type === "task" && to === "modern" && method === "tools/call") return result;
  if (type !== "complete")
    throw new PortcullisError("upstream_protocol", { reason: "the result is not complete" });
  if (to === "modern") return CACHEABLE.has(method) ? keptPrivate(result, members) : result;
  for (const member of MODERN_MEMBERS) members.delete(member);
  if (method === "tools/call") wrapStructured(members);
  return joinMembers(members);
}

export function resultTypeOf(members: ReadonlyMap<string, string>): unknown {
  return scalarIn(members.get("resultType") ?? '"complete"');
}

function setCacheHints(members: Map<string, string>): void {
  members.set("ttlMs", String(NOT_CACHED.ttlMs)).set("cacheScope", JSON.stringify(NOT_CACHED.cacheScope));
}

/** What one principal may read, no cache may give to another. */
function keptPrivate(result: string, members: Map<string, string>): string {
  if (members.get("cacheScope") === JSON.stringify(NOT_CACHED.cacheScope)) return result;
  if (!members.has("ttlMs")) members.set("ttlMs", String(NOT_CACHED.ttlMs));
  return joinMembers(members.set("cacheScope", JSON.stringify(NOT_CACHED.cacheScope)));
}

/** Legacy clients take an object alone for structuredContent: the SDK's servers wrap the rest like this. */
function wrapStructured(members: Map<string, string>): void {
  const structured = members.get("structuredContent");
  if (structured !== undefined && !structured.startsWith("{"))
    members.set("structuredContent", `{"result":${structured}}`);
}

/**
 * A tool's definition in the words of the caller's era: legacy clients refuse a whole list for one outputSchema that is
 * not of an object.
 */
export function translateTool(definition: ReadonlyMap<string, string>, to: Era): ReadonlyMap<string, string> {
  const schema = definition.get("outputSchema");
  if (to === "modern" || schema === undefined) return definition;
  if (schema.startsWith("{") && scalarIn(memberOf(schema, "type")) === "object") return definition;
  const kept = new Map(definition);
  kept.delete("outputSchema");
  return kept;
}

const NOT_FOUND_LEGACY = -32002;
const INVALID_PARAMS = -32602;
/** HeaderMismatch and UnsupportedProtocolVersion: between gateway and upstream, no matter of the caller's. */
const OF_OUR_OWN_HOP: ReadonlySet<unknown> = new Set([-32020, -32022]);

/**
 * An upstream's error in the words of the caller's era: a resource that is not there is -32002 up to 2025-11-25 and
 * -32602 with nothing but its URI in `data` since. All else passes, -32042 (URL elicitation) included.
 *
 * @throws PortcullisError `upstream_protocol` for an error that is about the gateway's own request
 */
export function translateError(error: string, { from, to }: Pick<Translation, "from" | "to">): string {
  const members = membersOf(error);
  const code = scalarIn(members.get("code"));
  if (OF_OUR_OWN_HOP.has(code))
    throw new PortcullisError("upstream_protocol", {
      reason: `it refused the gateway's request with ${code}`,
    });
  if (to === "modern" && code === NOT_FOUND_LEGACY)
    return joinMembers(members.set("code", String(INVALID_PARAMS)));
  const missing = from === "modern" && to === "legacy" && code === INVALID_PARAMS && namesOnlyUri(members);
  return missing ? joinMembers(members.set("code", String(NOT_FOUND_LEGACY))) : error;
}

function namesOnlyUri(members: ReadonlyMap<string, string>): boolean {
  const data = members.get("data") ?? "";
  return data.startsWith("{") && [...membersOf(data).keys()].join() === "uri";
}
