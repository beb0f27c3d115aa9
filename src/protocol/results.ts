import type { Era } from "../domain.ts";
import { PortcullisError } from "../lib/errors.ts";
import type { JsonObject } from "../lib/json.ts";
import { joinMembers, membersOf } from "../lib/members.ts";
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
  result.set("ttlMs", String(NOT_CACHED.ttlMs)).set("cacheScope", JSON.stringify(NOT_CACHED.cacheScope));
  return completed(result, serverInfo);
}

/** A modern result says that it is complete, and whose it is. */
function completed(result: Map<string, string>, serverInfo: JsonObject | undefined): string {
  result.set("resultType", '"complete"');
  if (serverInfo !== undefined) {
    const meta = membersOf(result.get("_meta") ?? "{}");
    result.set("_meta", joinMembers(meta.set(META.serverInfo, JSON.stringify(serverInfo))));
  }
  return joinMembers(result);
}

/** The empty result of `ping` and its like. */
export const EMPTY_RESULT = "{}";

/**
 * An upstream's result in the words of the caller's era; every member that is not of an era passes as the bytes it
 * was sent in.
 *
 * @throws PortcullisError `upstream_protocol` for a modern result that is not complete: it asks the caller something.
 */
export function translateResult(result: string, from: Era, to: Era, serverInfo?: JsonObject): string {
  if (from === "legacy" && to === "legacy") return result;
  const members = membersOf(result);
  if (from === "legacy") return completed(members, serverInfo);
  const type: unknown = JSON.parse(members.get("resultType") ?? '"complete"');
  if (type !== "complete")
    throw new PortcullisError("upstream_protocol", { reason: "the result is not complete" });
  if (to === "modern") return result;
  for (const member of ["resultType", "ttlMs", "cacheScope"]) members.delete(member);
  return joinMembers(members);
}
