import { PortcullisError } from "../lib/errors.ts";

/** Tells whoever waits for a body that it will not come. */
export type Fail = (error: PortcullisError) => void;

/**
 * What bodies that are still coming may take together. Nobody knows yet whose they are, so that no share bounds them: the
 * one that has been coming for longest makes way. A client that means it is done in no time; one that does not only ever
 * loses to the next.
 */
export interface BodyRoom {
  /** So many more bytes of one body came. */
  take(of: Fail, bytes: number): void;
  leave(of: Fail): void;
}

export function createBodyRoom(max: number): BodyRoom {
  /** Bytes by body, the oldest first. */
  const coming = new Map<Fail, number>();
  let all = 0;

  function makeWay(newest: Fail): void {
    for (const fail of coming.keys()) {
      if (all <= max) return;
      // The only one may be larger than all the room.
      if (fail !== newest) fail(crowded());
    }
  }

  return {
    take(of, bytes) {
      coming.set(of, (coming.get(of) ?? 0) + bytes);
      all += bytes;
      makeWay(of);
    },
    leave(of) {
      all -= coming.get(of) ?? 0;
      coming.delete(of);
    },
  };
}

function crowded(): PortcullisError {
  return new PortcullisError("overloaded", {
    reason: "others sent their bodies meanwhile",
    headers: { Connection: "close" },
  });
}
