import type { Server, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Log } from "../lib/log.ts";

/** The connections of a server. */
export interface Connections {
  /** The latest request of a connection, by its answer. */
  asked(socket: Socket, answer: ServerResponse): void;
  /** Ends those that have asked nothing yet: Node calls them neither idle nor busy, and would wait for them. */
  endUnasked(): void;
}

const TOLD_AGAIN_MS = 60_000;

/**
 * No more than `max` are open. Each takes a file descriptor, and without one the gateway reaches no upstream and reads no
 * file of its own: whoever is still sending makes way for who comes, the oldest first; then whoever waits with nothing.
 * An answer under way is never cut: of those there are as many as are let in.
 */
export function watchConnections(server: Server, max: number, log: Log): Connections {
  /** The oldest first, each with its latest answer; null: it has asked nothing yet. */
  const open = new Map<Socket, ServerResponse | null>();
  /** Each look goes over all of them: it must not be for one alone. */
  const atOnce = Math.ceil(max / 100);
  let toldAt = Number.NEGATIVE_INFINITY;

  function end(socket: Socket): void {
    open.delete(socket);
    socket.destroy();
  }

  function endSome(which: (answer: ServerResponse | null) => boolean, newest: Socket): void {
    let left = atOnce;
    for (const [socket, answer] of open) {
      if (left === 0) return;
      if (socket === newest || !which(answer)) continue;
      end(socket);
      left -= 1;
    }
  }

  function makeWayFor(newest: Socket): void {
    if (performance.now() - toldAt > TOLD_AGAIN_MS) {
      toldAt = performance.now();
      log.warn({ max }, "too many connections: those that ask nothing make way");
    }
    endSome(isStillSending, newest);
    if (open.size > max) endSome(isIdle, newest);
    if (open.size > max) end(newest);
  }

  server.on("connection", (socket: Socket) => {
    open.set(socket, null);
    socket.once("close", () => open.delete(socket));
    if (open.size > max) makeWayFor(socket);
  });
  return {
    asked(socket, answer) {
      if (open.has(socket)) open.set(socket, answer);
    },
    endUnasked() {
      for (const [socket, answer] of open) if (answer === null) socket.destroy();
    },
  };
}

function isStillSending(answer: ServerResponse | null): boolean {
  return answer === null || !answer.req.complete;
}

function isIdle(answer: ServerResponse | null): boolean {
  return answer?.writableFinished === true;
}
