import { discoverResult, EMPTY_RESULT, initializeResult, negotiate } from "../protocol/results.ts";
import type { Ask } from "./ask.ts";
import { describe } from "./description.ts";
import { record } from "./records.ts";
import type { Rooms } from "./rooms.ts";

/** initialize: opens a legacy session, bound to the principal and the virtual server. */
export async function initialize(ask: Ask, rooms: Rooms): Promise<void> {
  const { params, clientInfo, clientCapabilities } = ask.message;
  const version = negotiate(String(params.protocolVersion));
  const session = await rooms.sessions.create({
    principalKey: ask.principalKey,
    server: ask.seen.server,
    version,
    clientInfo,
    clientCapabilities,
  });
  try {
    await recordAllowed(ask, rooms);
  } catch (error) {
    await rooms.sessions.delete(session.id, session.principalKey, session.server);
    throw error;
  }
  ask.answer.result(initializeResult(version, describe(ask, rooms)), {
    "Mcp-Session-Id": session.id,
  });
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
