import { PortcullisError } from "../lib/errors.ts";
import {
  discoverResult,
  EMPTY_RESULT,
  initializeResult,
  negotiate,
  type ServerDescription,
} from "../protocol/results.ts";
import type { Ask } from "./ask.ts";
import { record } from "./records.ts";
import type { Rooms } from "./rooms.ts";

/** initialize: opens a legacy session, bound to the principal and the virtual server. */
export async function initialize(ask: Ask, rooms: Rooms): Promise<void> {
  const { params, clientInfo, clientCapabilities } = ask.message;
  const version = negotiate(String(params.protocolVersion));
  const session = await rooms.sessions.create({
    owner: ask.owner,
    server: ask.seen.server,
    version,
    clientInfo,
    clientCapabilities,
  });
  await recordAllowed(ask, rooms);
  ask.answer.result(initializeResult(version, describe(ask, rooms)), { "Mcp-Session-Id": session.id });
}

/** server/discover: what initialize says, without a session. */
export async function discover(ask: Ask, rooms: Rooms): Promise<void> {
  await recordAllowed(ask, rooms);
  ask.answer.result(discoverResult(describe(ask, rooms)));
}

/** ping: forwards nothing and shows nothing, so there is nothing to record. */
export async function ping(ask: Ask): Promise<void> {
  ask.answer.result(EMPTY_RESULT);
}

function recordAllowed(ask: Ask, rooms: Rooms): Promise<void> {
  return record(rooms, ask.seen, { effect: "allow", code: "ok" });
}

/** Behind one upstream a virtual server is that upstream to its clients; over several it speaks for itself. */
function describe(ask: Ask, rooms: Rooms): ServerDescription {
  const settings = rooms.servers.get(ask.seen.server);
  if (settings === undefined) throw new PortcullisError("not_found_path");
  const identities = [...rooms.catalog.view(ask.seen.server).upstreams.values()];
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
