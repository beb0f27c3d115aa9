import type { CatalogView } from "../catalog/view.ts";
import { capabilityOf, type Deciding } from "./decision.ts";
import type { Rooms } from "./rooms.ts";

/**
 * Whether this principal may read a URI: by every door the same answer. A list, a link, an embedded resource, a
 * completion, a subscription and a notification ask here what a read would be told.
 */
export function readable(
  ask: Deciding,
  rooms: Pick<Rooms, "capabilities">,
  view: CatalogView,
  exposedUri: string,
): boolean {
  const address = view.resource(exposedUri);
  if (address === undefined) return false;
  return address.matches.every(({ target, arguments: args }) =>
    capabilityOf(ask, rooms, target).admits(args),
  );
}

/**
 * Whether the content of a resource may stand in the result of something else. What no upstream lists belongs to that
 * result and goes only where a denial closes it; what is listed goes as a read of it would.
 */
export function embeddable(
  ask: Deciding,
  rooms: Pick<Rooms, "capabilities">,
  view: CatalogView,
  exposedUri: string,
): boolean {
  const [only, ...others] = view.resource(exposedUri)?.matches ?? [];
  if (only === undefined) return false;
  const unlisted = others.length === 0 && only.target.definition.size === 0;
  return unlisted ? !capabilityOf(ask, rooms, only.target).denied : readable(ask, rooms, view, exposedUri);
}
