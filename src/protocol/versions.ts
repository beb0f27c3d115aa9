/**
 * The protocol revisions served here, newest first. They are ISO dates, so comparing text compares age.
 * Constants of our own: the SDK's list costs 170 ms of imports, and a test holds the two together.
 */
export const LEGACY_VERSIONS = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"] as const;
export const MODERN_VERSIONS = ["2026-07-28"] as const;

/** What a legacy request without `MCP-Protocol-Version` speaks (MCP 2025-11-25, Protocol Version Header). */
export const ASSUMED_VERSION = "2025-03-26";

export function isModern(version: string): boolean {
  return version >= "2026-07-28";
}

export function isServed(versions: readonly string[], version: string): boolean {
  return versions.includes(version);
}

/** Reserved keys of `_meta` (MCP 2026-07-28, `_meta`). */
export const META = {
  protocolVersion: "io.modelcontextprotocol/protocolVersion",
  clientInfo: "io.modelcontextprotocol/clientInfo",
  clientCapabilities: "io.modelcontextprotocol/clientCapabilities",
  serverInfo: "io.modelcontextprotocol/serverInfo",
  logLevel: "io.modelcontextprotocol/logLevel",
  subscriptionId: "io.modelcontextprotocol/subscriptionId",
} as const;
