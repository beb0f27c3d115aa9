import { randomFillSync } from "node:crypto";

const BYTES = 16;
/** Random bytes are fetched 256 ids at a time: a system call for each would cost more than the rest of a record. */
const pool = Buffer.alloc(256 * BYTES);
let next = pool.length;

/** An unguessable identifier: 128 random bits, base64url, 22 characters. */
export function randomId(): string {
  if (next === pool.length) {
    randomFillSync(pool);
    next = 0;
  }
  next += BYTES;
  return pool.toString("base64url", next - BYTES, next);
}
