import { follow } from "./follow.ts";
import { record } from "./records.ts";
import type { Rooms } from "./rooms.ts";
import { isStanding, type Opening, stand } from "./standing.ts";

/** GET: what the gateway has to say to a legacy client outside of its requests; or the rest of an answer that broke. */
export async function openStream(opening: Opening, rooms: Rooms): Promise<void> {
  const { exchange, seen, session } = opening;
  const id = rooms.decisions.newId();
  await record(rooms, seen, { effect: "allow", code: "ok", method: "GET" }, id);
  const last = exchange.header("last-event-id");
  const missed = last === undefined ? undefined : await rooms.events.after(session.id, last);
  const from = last === undefined || missed === undefined ? undefined : { stream: missed.stream, last };
  // Each event of an answer is read and opened anew for each that follows it, and any number may: that is work.
  if (from !== undefined && !isStanding(from.stream)) return follow(opening, rooms, from);
  opening.rest();
  await stand(opening, rooms, id, from);
}
