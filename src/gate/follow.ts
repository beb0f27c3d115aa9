import { PortcullisError, toPortcullisError } from "../lib/errors.ts";
import { membersOf } from "../lib/members.ts";
import { errorText } from "../protocol/answers.ts";
import { beginLife } from "./life.ts";
import { requestOf } from "./outbox.ts";
import type { Rooms } from "./rooms.ts";
import type { Opening, ResumePoint } from "./standing.ts";

/** The rest of a request's answer, from wherever it is being written, until it is whole. */
export async function follow(
  { exchange, identity, session }: Opening,
  rooms: Rooms,
  { stream: name, last }: ResumePoint,
): Promise<void> {
  const stream = exchange.reply.stream();
  const life = beginLife(identity, rooms, exchange.signal);
  void stream.closed.then(life.end);
  let at = last;
  let isWhole = false;
  /** One look at a time, so that every event is sent once. */
  let looking: Promise<void> = Promise.resolve();

  async function look(): Promise<void> {
    const found = isWhole ? undefined : await rooms.events.after(session.id, at);
    for (const { id, text } of found?.events ?? []) {
      void stream.send(text, id);
      at = id;
      isWhole ||= isAnswer(text);
    }
    if (isWhole) life.end();
  }

  function lookAgain(): void {
    looking = looking
      .then(look)
      .catch((err: unknown) => rooms.log.warn({ err }, "what a client missed cannot be read"));
  }

  const following = rooms.outboxes
    .follow({ session: session.id, stream: name }, lookAgain, life.signal)
    .catch((thrown: unknown) => rooms.log.debug({ err: toPortcullisError(thrown) }, "a stream is lost"));
  lookAgain();
  await Promise.race([following, life.over]);
  // What was written last may not have been told.
  lookAgain();
  await looking;
  const request = requestOf(name);
  if (!isWhole && !life.signal.aborted && request !== undefined) {
    const lost = new PortcullisError("cancelled", { text: "The rest of this answer is lost." });
    void stream.send(errorText(request, lost));
  }
  life.end();
  stream.end();
}

function isAnswer(text: string): boolean {
  return !membersOf(text).has("method");
}
