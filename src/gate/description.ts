import { PortcullisError } from "../lib/errors.ts";
import type { ServerDescription } from "../protocol/results.ts";
import type { Rooms } from "./rooms.ts";

/** Behind one upstream a virtual server is that upstream to its clients; over several it speaks for itself. */
export function describe(rooms: Rooms, server: string): ServerDescription {
  const settings = rooms.servers.get(server);
  if (settings === undefined) throw new PortcullisError("not_found_path");
  const identities = [...rooms.catalog.view(server).upstreams.values()];
  const [only] = identities;
  const capabilities = { tools: {} };
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
