import type { UpstreamIdentity } from "../domain.ts";
import { PortcullisError } from "../lib/errors.ts";
import type { JsonObject } from "../lib/json.ts";
import { mergeCapabilities, type Relayed } from "../protocol/capabilities.ts";
import type { ServerDescription } from "../protocol/results.ts";
import type { Ask } from "./ask.ts";
import type { Deciding } from "./decision.ts";
import { capabilityOf } from "./decision.ts";
import type { Rooms, ServerSettings } from "./rooms.ts";

const RELAYED: ReadonlySet<Relayed> = new Set([
  "tools",
  "resources",
  "prompts",
  "completions",
  "logging",
  "tasks",
  "extensions",
]);

/**
 * What a virtual server says of itself. Behind one upstream it is that upstream to its clients; over several it speaks
 * for itself, with what any of them can. Log messages are offered to who may hear one of them.
 */
export function describe(
  { seen, message, policy, context }: Deciding & Pick<Ask, "seen" | "message">,
  rooms: Rooms,
): ServerDescription {
  const { instructions } = settingsOf(rooms, seen.server);
  const view = rooms.catalog.view(seen.server);
  const identities = [...view.upstreams].map(([upstream, identity]) =>
    heard(identity, capabilityOf({ policy, context }, rooms, view.own(upstream, "server")).listed),
  );
  return {
    serverInfo: serverInfoOf(rooms, seen.server),
    capabilities: mergeCapabilities(identities, { era: message.era, relayed: RELAYED }),
    instructions: instructions || (onlyUpstream(rooms, seen.server)?.instructions ?? ""),
  };
}

type Shown = Pick<Rooms, "servers" | "catalog" | "gatewayInfo">;

/** Its name alone, which every modern answer carries: no policy is asked for it. */
export function serverInfoOf(rooms: Shown, server: string): JsonObject {
  const { title } = settingsOf(rooms, server);
  return onlyUpstream(rooms, server)?.serverInfo ?? { ...rooms.gatewayInfo, ...(title !== "" && { title }) };
}

function onlyUpstream({ catalog }: Pick<Shown, "catalog">, server: string): UpstreamIdentity | undefined {
  const [only, ...others] = catalog.view(server).upstreams.values();
  return others.length === 0 ? only : undefined;
}

function settingsOf({ servers }: Pick<Shown, "servers">, server: string): ServerSettings {
  const settings = servers.get(server);
  if (settings === undefined) throw new PortcullisError("not_found_path");
  return settings;
}

function heard(identity: UpstreamIdentity, open: boolean): UpstreamIdentity {
  if (open) return identity;
  const { logging: _, ...capabilities } = identity.capabilities;
  return { ...identity, capabilities };
}
