import type { Ask } from "./ask.ts";
import type { Rooms } from "./rooms.ts";
import { use } from "./use.ts";

/** resources/read: one URI, decided under the resource and every template that it matches. */
export async function read(ask: Ask, rooms: Rooms): Promise<void> {
  const { name: uri = "", params } = ask.message;
  const address = rooms.catalog.view(ask.seen.server).resource(uri);
  const matches = address?.matches ?? [];
  await use(ask, rooms, {
    named: { upstream: "", kind: "resource", name: uri },
    arguments: matches[0]?.arguments ?? {},
    matches,
    // The catalog's own spelling goes on, never the caller's: what was decided is what is read.
    params: () => ({ ...params, uri: address?.uri ?? uri }),
  });
}
