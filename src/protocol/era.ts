import type { Era, Exchange } from "../domain.ts";
import { PortcullisError } from "../lib/errors.ts";
import type { Json, JsonObject } from "../lib/json.ts";
import type { Envelope } from "./envelope.ts";
import { mismatch, shapeless } from "./refusals.ts";
import { ASSUMED_VERSION, isModern, isServed, LEGACY_VERSIONS, META, MODERN_VERSIONS } from "./versions.ts";

export interface Spoken {
  readonly era: Era;
  /** The revision that governs the message; a legacy session may have negotiated another. */
  readonly version: string;
}

/**
 * Which era speaks, by the rule of the SDK's own servers: `_meta` decides, the header must agree with it.
 * A modern header without the `_meta` it needs is no legacy message but a broken modern one.
 */
export function versionOf(envelope: Envelope, { header }: Pick<Exchange, "header">): Spoken {
  const named = header("mcp-protocol-version");
  const meta = envelope.kind === "response" ? undefined : (envelope.params._meta as JsonObject | undefined);
  const claimed = meta?.[META.protocolVersion];
  if (claimed !== undefined) return modernVersion(claimed, named);
  if (named === undefined) return { era: "legacy", version: ASSUMED_VERSION };
  if (!isModern(named)) {
    if (!isServed(LEGACY_VERSIONS, named)) throw unsupported(named, LEGACY_VERSIONS);
    return { era: "legacy", version: named };
  }
  // It may mean either era.
  if (!isServed(MODERN_VERSIONS, named)) throw unsupported(named, [...MODERN_VERSIONS, ...LEGACY_VERSIONS]);
  if (envelope.kind !== "request") return modernVersion(named, named);
  if (envelope.method === "initialize")
    throw mismatch("initialize is not of the revision in MCP-Protocol-Version");
  const needed = [META.protocolVersion, META.clientCapabilities];
  const missing = needed.filter((key) => meta?.[key] === undefined);
  throw shapeless(`_meta lacks ${missing.join(" and ")}`, { data: { missing } });
}

function modernVersion(claimed: Json, named: string | undefined): Spoken {
  if (typeof claimed !== "string") throw shapeless(`${META.protocolVersion} is not a string`);
  if (named !== undefined && named !== claimed) throw mismatch("MCP-Protocol-Version and _meta disagree");
  if (!isServed(MODERN_VERSIONS, claimed)) throw unsupported(claimed, MODERN_VERSIONS);
  return { era: "modern", version: claimed };
}

function unsupported(requested: string, supported: readonly string[]): PortcullisError {
  return new PortcullisError("version_unsupported", {
    data: { supported, requested: requested.slice(0, 64) },
  });
}
