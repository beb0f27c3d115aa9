import type { CatalogView } from "../catalog/view.ts";
import type { Era } from "../domain.ts";
import { joinMembers, memberOf, membersOf, scalarIn } from "../lib/members.ts";
import { LOG_LEVELS } from "../protocol/shapes.ts";
import { capabilityOf, type Deciding } from "./decision.ts";
import { readable } from "./resources.ts";
import type { Rooms } from "./rooms.ts";

const SEVERITIES: readonly unknown[] = LOG_LEVELS;

/** Where a client hears a notification. */
export interface Hearing {
  readonly deciding: Deciding;
  readonly view: CatalogView;
  readonly upstream: string;
  readonly era: Era;
  /** The least severe log message that it wants; undefined: a legacy server decides, a modern one sends none. */
  readonly logLevel: string | undefined;
}

/**
 * An upstream's notification as this client may hear it, by the policies of now; undefined: it may not, or nobody here
 * knows what it says.
 *
 * @throws PortcullisError `upstream_protocol` for params that are no object
 */
export function heard(
  hearing: Hearing,
  rooms: Pick<Rooms, "capabilities">,
  method: string,
  params: string,
): string | undefined {
  switch (method) {
    case "notifications/progress":
      return params;
    case "notifications/message":
      return isWanted(hearing, params) && mayHearOfItself(hearing, rooms) ? params : undefined;
    case "notifications/elicitation/complete":
      return hearing.era === "legacy" && mayHearOfItself(hearing, rooms) ? params : undefined;
    case "notifications/resources/updated":
      return updated(hearing, rooms, params);
    default:
      return undefined;
  }
}

function isWanted({ era, logLevel }: Hearing, params: string): boolean {
  if (logLevel === undefined) return era === "legacy";
  const level = scalarIn(memberOf(params, "level"));
  return SEVERITIES.indexOf(level) >= SEVERITIES.indexOf(logLevel);
}

/** What a server says of itself is a target too. */
function mayHearOfItself({ deciding, view, upstream }: Hearing, rooms: Pick<Rooms, "capabilities">): boolean {
  return capabilityOf(deciding, rooms, view.own(upstream, "server")).listed;
}

function updated(
  { deciding, view, upstream }: Hearing,
  rooms: Pick<Rooms, "capabilities">,
  params: string,
): string | undefined {
  const members = membersOf(params);
  const uri = scalarIn(members.get("uri"));
  const exposed = typeof uri === "string" ? view.exposeUri(upstream, uri) : undefined;
  if (exposed === undefined || !readable(deciding, rooms, view, exposed)) return undefined;
  return exposed === uri ? params : joinMembers(members.set("uri", JSON.stringify(exposed)));
}
