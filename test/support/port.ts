import { randomInt } from "node:crypto";
import { isFree } from "../../src/demo/free-port.ts";

/** Above those among which the product chooses, below those that the system gives to whoever asks for any. */
const FIRST = 30_000;
/** Room for eight workers. */
const EACH = 340;

const first = FIRST + EACH * (Number(process.env.VITEST_POOL_ID) - 1);
let next = randomInt(EACH);

/**
 * A free loopback port of this worker's own. Chosen from all, two files that run side by side are now and then given the
 * same: it is free until the first of them listens.
 */
export async function ownPort(): Promise<number> {
  let port: number;
  do {
    port = first + next;
    next = (next + 1) % EACH;
  } while (!(await isFree(port)));
  return port;
}
