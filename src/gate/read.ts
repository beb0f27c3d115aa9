import type { Ask } from "./ask.ts";
import { byUri } from "./resources.ts";
import type { Rooms } from "./rooms.ts";
import { use } from "./use.ts";

/** resources/read: one URI, within the bounds of everything that it matches. */
export async function read(ask: Ask, rooms: Rooms): Promise<void> {
  await use(ask, rooms, byUri(ask, rooms));
}
