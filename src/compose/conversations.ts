import { createAsides } from "../gate/asides.ts";
import { createElicitations } from "../gate/elicitations.ts";
import { createHeld } from "../gate/held.ts";
import { createOutboxes } from "../gate/outbox.ts";
import { createQuestions } from "../gate/questions.ts";
import { createStreams } from "../gate/streams.ts";
import { createTasks } from "../gate/task-store.ts";
import { randomId } from "../lib/ids.ts";
import type { EventStore } from "../protocol/events.ts";
import type { Ground } from "./ground.ts";
import type { Sharing } from "./sharing.ts";
import type { Share } from "./tenancy.ts";

/** What goes on between the requests of one client. */
export function openConversations(
  { config, clock, closing }: Ground,
  { store, seal, replicas, isAlone }: Omit<Sharing, "key">,
  events: EventStore,
  share: Share,
) {
  const { sessions: most } = config.limits;
  const streams = closing.add(createStreams(replicas, most, share), (opened) => opened.close());
  const held = closing.add(createHeld(replicas, share, clock), (opened) => opened.close());
  return {
    events,
    outboxes: createOutboxes(events, replicas, randomId),
    questions: createQuestions(replicas, randomId),
    asides: isAlone ? null : createAsides(replicas, randomId),
    tasks: createTasks(store, seal, share, clock),
    elicitations: createElicitations(store, replicas),
    streams,
    held,
  };
}
