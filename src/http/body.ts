import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { PortcullisError } from "../lib/errors.ts";
import { Gathered } from "../lib/gathered.ts";
import { createBodyRoom, type Fail } from "./body-room.ts";

/** Bodies on their way, by connection, so that what goes wrong with a connection is told to who waits for it. */
const waiting = new WeakMap<Duplex, Fail>();

/** Of this process: whatever listens in it, the memory is one. */
const room = createBodyRoom(64 << 20);
const NOTHING = new Gathered();

/** Ends the wait for the body on this connection, if there is one. */
export function failBody(socket: Duplex, error: PortcullisError): boolean {
  const fail = waiting.get(socket);
  fail?.(error);
  return fail !== undefined;
}

/**
 * The whole body, of at most `limit` bytes.
 *
 * @throws PortcullisError `body_too_large`, never a truncated body; `body_incomplete`; `overloaded` where it was so long in
 * coming that others needed its room; `body_consumed` where a host application's parser was there first.
 */
export function readBody(request: IncomingMessage, limit: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    if (request.readableDidRead) return reject(new PortcullisError("body_consumed"));
    const length = Number(request.headers["content-length"] ?? Number.NaN);
    if (length > limit) return reject(tooLarge());
    const { socket } = request;
    let body = new Gathered();
    let isOver = false;
    /** false: it was settled before. */
    const settle = (): boolean => {
      if (isOver) return false;
      isOver = true;
      waiting.delete(socket);
      room.leave(fail);
      return true;
    };
    const fail: Fail = (error) => {
      if (!settle()) return;
      // The listeners live as long as the request: who was refused would go on holding what came.
      body = NOTHING;
      reject(error);
    };
    const onData = (chunk: Buffer): void => {
      if (isOver) return;
      if (body.length + chunk.length > limit) {
        fail(tooLarge());
        return;
      }
      body.add(chunk);
      // Most come whole, in one piece.
      if (body.length !== length) room.take(fail, chunk.length);
    };
    const onEnd = (): void => {
      if (settle()) resolve(body.take());
    };
    const onBroken = (): void => {
      // Every request closes. An error has a stack, which costs more than all the rest of reading a body.
      if (!isOver) fail(new PortcullisError("body_incomplete"));
    };
    waiting.set(socket, fail);
    // They stay: the request ends before they could matter, and taking them off costs as much as putting them on.
    request.on("data", onData).on("end", onEnd).on("close", onBroken).on("error", onBroken);
  });
}

function tooLarge(): PortcullisError {
  return new PortcullisError("body_too_large");
}
