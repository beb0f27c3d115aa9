import type { CatalogView, ResourceAddress } from "../catalog/view.ts";
import { canonicalJson, type JsonObject } from "../lib/json.ts";
import { readTemplate } from "../lib/uri-template.ts";
import { ALL_HOLD } from "../policy/requirements.ts";
import type { Ask } from "./ask.ts";
import { capabilityOf, type Deciding, decideUnder } from "./decision.ts";
import type { Rooms } from "./rooms.ts";
import type { Wanted } from "./wanted.ts";

/** A request that names a resource by its URI, decided under the resource and every template that the URI matches. */
export function byUri(ask: Ask, rooms: Pick<Rooms, "catalog">): Wanted {
  const { name: uri = "", params } = ask.message;
  const view = rooms.catalog.view(ask.seen.server);
  const address = view.resource(uri);
  const matches = address?.matches ?? [];
  return {
    asked: { upstream: "", kind: "resource", name: uri },
    named: address?.uri,
    arguments: matches[0]?.arguments ?? {},
    matches,
    params(_, args) {
      const forwarded = address && spelling(view, address, args);
      return forwarded === undefined ? undefined : { ...params, uri: forwarded };
    },
  };
}

/**
 * The catalog's own spelling of a URI, never the caller's: what was decided is what is read. Where a grant sets variables
 * of a template, the template with them; undefined where that would lead to anything but that template with those values.
 */
function spelling(
  view: CatalogView,
  { upstream, uri, matches }: ResourceAddress,
  args: JsonObject,
): string | undefined {
  const [first] = matches;
  if (first === undefined || args === first.arguments) return uri;
  // Where a value is set there is one match: of several each was asked about the values that were sent.
  const read = readTemplate(first.target.name);
  if (!read.ok) return undefined;
  const values = Object.entries(args).map(([name, value]) => [name, String(value)]);
  const exposed = view.exposeUri(upstream, read.template.expand(Object.fromEntries(values)));
  const found = exposed === undefined ? undefined : view.resource(exposed);
  const [only, ...more] = found?.matches ?? [];
  const same = only?.target === first.target && canonicalJson(only.arguments) === canonicalJson(args);
  return same && more.length === 0 ? found?.uri : undefined;
}

/** One resource has one name here, however the request spells its URI. */
export function canonicalUri({ name: uri = "" }: Ask["message"], view: CatalogView): string {
  const address = view.resource(uri);
  return (address && view.exposeUri(address.upstream, address.uri)) ?? uri;
}

/**
 * Whether this principal may read a URI as it stands: by every door the same answer. A list, a link, an embedded resource,
 * a subscription and a notification ask here what a read would be told.
 */
export function readable(
  ask: Deciding,
  rooms: Pick<Rooms, "capabilities">,
  view: CatalogView,
  exposedUri: string,
): boolean {
  const matches = view.resource(exposedUri)?.matches ?? [];
  const decision = decideUnder(ask, rooms, matches, () => ALL_HOLD);
  return decision.effect === "allow" && decision.arguments === matches[0]?.arguments;
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
