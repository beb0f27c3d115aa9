import { randomInt } from "node:crypto";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";

/**
 * Below what systems give to whoever asks for any port, and to connections (Linux from 32,768, others from 49,152): what
 * is free here is still free when its server has started, or has ended and starts again.
 */
const FIRST = 20_000;
const LAST = 32_767;

/** A loopback port that is free now: the wanted one if it is, else any. */
export async function freePort(wanted = 0): Promise<number> {
  const server = createServer().listen(wanted === 0 ? randomInt(FIRST, LAST + 1) : wanted, "127.0.0.1");
  try {
    await once(server, "listening");
  } catch (error) {
    if (wanted === 0 && (error as NodeJS.ErrnoException).code !== "EADDRINUSE") throw error;
    return freePort();
  }
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}
