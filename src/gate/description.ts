import type { UpstreamIdentity } from "../domain.ts";
import { PortcullisError } from "../lib/errors.ts";
import { mergeCapabilities, type Relayed } from "../protocol/capabilities.ts";
import type { ServerDescription } from "../protocol/results.ts";
import type { Ask } from "./ask.ts";
import type { Deciding } from "./decision.ts";
import { capabilityOf } from "./decision.ts";
import type { Rooms } from "./rooms.ts";

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
  { seen, message, ...deciding }: Deciding & Pick<Ask, "seen" | "message">,
  rooms: Rooms,
): ServerDescription {
  const settings = rooms.servers.get(seen.server);
  if (settings === undefined) throw new PortcullisError("not_found_path");
  const view = rooms.catalog.view(seen.server);
  const identities = [...view.upstreams].map(([upstream, identity]) =>
    heard(identity, capabilityOf(deciding, rooms, view.own(upstream, "server")).listed),
  );
  const capabilities = mergeCapabilities(identities, { era: message.era, relayed: RELAYED });
  const [only] = identities;
  if (only !== undefined && identities.length === 1) {
    return {
      serverInfo: only.serverInfo,
      capabilities,
      instructions: settings.instructions || only.instructions,
    };
  }
  const serverInfo = { ...rooms.gatewayInfo, ...(settings.title !== "" && { title: settings.title }) };
  return { serverInfo, capabilities, instructions: settings.instructions };
}

function heard(identity: UpstreamIdentity, open: boolean): UpstreamIdentity {
  if (open) return identity;
  const { logging: _, ...capabilities } = identity.capabilities;
  return { ...identity, capabilities };
}
