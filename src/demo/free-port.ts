import { randomInt } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:net";

/**
 * Below what systems give to whoever asks for any port, and to connections (Linux from 32,768, others from 49,152): what
 * is free here is still free when its server has started, or has ended and starts again.
 */
const [FIRST, LAST] = [20_000, 29_999];

/** A loopback port that is free now: the wanted one if it is, else any. */
export async function freePort(wanted = 0): Promise<number> {
  let port = wanted === 0 ? anyPort() : wanted;
  while (!(await isFree(port))) port = anyPort();
  return port;
}

function anyPort(): number {
  return randomInt(FIRST, LAST + 1);
}

/** Whether this process could listen there. */
export async function isFree(port: number): Promise<boolean> {
  const server = createServer().listen(port, "127.0.0.1");
  try {
    await once(server, "listening");
  } catch (error) {
    if (["EADDRINUSE", "EACCES"].includes(String((error as NodeJS.ErrnoException).code))) return false;
    throw error;
  }
  server.close();
  await once(server, "close");
  return true;
}
