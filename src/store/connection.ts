import { setTimeout as delay } from "node:timers/promises";
import { createClient, type RedisClientOptions } from "@redis/client";
import { PortcullisError } from "../lib/errors.ts";
import type { Log } from "../lib/log.ts";

type Client = ReturnType<typeof openClient>;

/** A connection that is made again whenever it is lost. */
export interface Connection {
  readonly ready: boolean;
  /** @throws PortcullisError `store_unavailable`: not connected, an error, or no answer in time */
  use<T>(operation: (client: Client) => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

export interface ConnectionOptions {
  readonly client: RedisClientOptions;
  readonly log: Log;
  /** Each time, before anybody else may use it. */
  onOpen?(client: Client): Promise<void>;
}

/** Milliseconds that a command may take; a connection that owes an answer for longer is given up with all its commands. */
const DEADLINE_MS = 1000;
/** Milliseconds for a connection to be made. Nobody waits for it: what is asked meanwhile is refused at once. */
const OPEN_MS = 5000;
/** Milliseconds between two pings: so long does a silent loss stay unnoticed, and its deadline. */
const BEAT_MS = 1000;
const SHORTEST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 1000;

/** Resolves after the first attempt, connected or not. */
export async function openConnection({
  client: options,
  log,
  onOpen,
}: ConnectionOptions): Promise<Connection> {
  const closing = new AbortController();
  let current: Client | undefined;

  async function use<T>(operation: (client: Client) => Promise<T>): Promise<T> {
    const client = current;
    if (client === undefined) throw unavailable("the store is not connected");
    return inTime(client, operation(client), DEADLINE_MS);
  }

  /** One connection from its first byte to its last. */
  async function live(onAttempt: () => void): Promise<void> {
    const client = openClient(options);
    const lost = new Promise<void>((resolve) => {
      client.once("terminated", () => resolve());
      client.once("end", () => resolve());
    });
    const hangUp = () => client.destroy();
    closing.signal.addEventListener("abort", hangUp, { once: true });
    // Whatever failed, no later answer can be trusted to belong to its question.
    client.on("error", (err: unknown) => {
      log.debug({ err }, "the store's connection failed");
      hangUp();
    });
    const beat = setInterval(() => {
      if (current === client) use((open) => open.ping()).catch(() => {});
    }, BEAT_MS);
    try {
      await inTime(client, client.connect(), OPEN_MS);
      if (onOpen !== undefined) await inTime(client, onOpen(client), OPEN_MS);
      if (closing.signal.aborted) return;
      current = client;
      log.info({}, "the store is connected");
      onAttempt();
      await lost;
      if (!closing.signal.aborted) log.warn({}, "the store's connection is lost");
    } finally {
      clearInterval(beat);
      closing.signal.removeEventListener("abort", hangUp);
      if (current === client) current = undefined;
      hangUp();
    }
  }

  async function keep(onAttempt: () => void): Promise<void> {
    let pause = SHORTEST_PAUSE_MS;
    while (!closing.signal.aborted) {
      try {
        await live(() => {
          pause = SHORTEST_PAUSE_MS;
          onAttempt();
        });
      } catch (err) {
        // Once an outage; the loss itself was told before.
        if (pause === SHORTEST_PAUSE_MS) log.warn({ err }, "the store cannot be reached");
      }
      onAttempt();
      await delay(pause * (0.5 + Math.random()), undefined, { signal: closing.signal }).catch(() => {});
      pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
    }
  }

  let kept: Promise<void> = Promise.resolve();
  await new Promise<void>((resolve) => {
    kept = keep(resolve);
  });

  return {
    get ready() {
      return current !== undefined;
    },
    use,
    async close() {
      closing.abort();
      await kept;
    },
  };
}

/** One client is one connection: its own queue and reconnection would hide that the server is away. */
function openClient(options: RedisClientOptions) {
  return createClient({
    ...options,
    RESP: 3,
    disableOfflineQueue: true,
    maintNotifications: "disabled",
    commandOptions: { timeout: 0 },
  });
}

/** A late answer would be taken for nobody's: who is late is hung up on. */
async function inTime<T>(client: Client, answer: Promise<T>, deadlineMs: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  let answered = false;
  const late = new Promise<never>((_, reject) => {
    const judge = () => {
      if (answered) return;
      reject(new Error(`no answer within ${deadlineMs} ms`));
      client.destroy();
    };
    // Where this process itself was held up, the answer may lie here unread: it is read before this judges.
    timer = setTimeout(() => setImmediate(() => setImmediate(judge)), deadlineMs);
  });
  try {
    return await Promise.race([answer, late]);
  } catch (cause) {
    throw unavailable("the store did not answer", cause);
  } finally {
    answered = true;
    clearTimeout(timer);
  }
}

function unavailable(reason: string, cause?: unknown): PortcullisError {
  return new PortcullisError("store_unavailable", { reason, cause });
}
