import type { Identity, Who } from "../domain.ts";
import type { JsonObject } from "../lib/json.ts";
import type { Deciding } from "./decision.ts";
import type { Rooms } from "./rooms.ts";

/** Who hears: a client whose stream outlives the request that opened it. */
export interface Hearer {
  readonly identity: Identity;
  readonly server: string;
  /** Whose upstream sessions it hears from. */
  readonly sessionKey: string;
  /** Nobody else uses them: they end with it. */
  readonly ownsSessions: boolean;
  readonly who: Who;
  readonly clientInfo: JsonObject | null;
  readonly clientCapabilities: JsonObject | null;
  /** Of the record that opened the stream. */
  readonly decisionId: string;
}

/** What decides for a hearer now: the policies of this moment, and its clock. */
export function hearing(rooms: Pick<Rooms, "policies" | "clock">, { identity, server }: Hearer): Deciding {
  const { principal, tenant } = identity;
  return {
    policy: rooms.policies.current(principal.tenant),
    context: { principal, tenant, server, now: Math.floor(rooms.clock() / 1000) },
  };
}
