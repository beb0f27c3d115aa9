import type { RedisClientOptions } from "@redis/client";
import type { SharedStore } from "../domain.ts";
import type { Log } from "../lib/log.ts";
import { openConnection } from "./connection.ts";

type Listener = (message: string) => void;

export interface Listening extends Pick<SharedStore, "subscribe" | "close"> {
  readonly ready: boolean;
}

interface ListeningOptions {
  readonly client: RedisClientOptions;
  readonly prefix: string;
  readonly log: Log;
}

/** Published messages, over a connection of their own: every channel is subscribed to again when it is made again. */
export async function openListening({ client, prefix, log }: ListeningOptions): Promise<Listening> {
  const channels = new Map<string, Set<Listener>>();

  function deliver(message: string, channel: string): void {
    for (const listener of channels.get(channel) ?? []) {
      try {
        listener(message);
      } catch (err) {
        log.error({ err }, "a published message was not handled");
      }
    }
  }

  const connection = await openConnection({
    client,
    log,
    async onOpen(open) {
      if (channels.size > 0) await open.subscribe([...channels.keys()], deliver);
    },
  });

  return {
    get ready() {
      return connection.ready;
    },
    async subscribe(name, listener) {
      const channel = prefix + name;
      const own: Listener = (message) => listener(message);
      const known = channels.get(channel);
      channels.set(channel, (known ?? new Set()).add(own));
      // Where that fails the connection is made again, with this channel.
      if (known === undefined)
        await connection.use((open) => open.subscribe(channel, deliver)).catch(() => {});
      return async () => {
        const left = channels.get(channel);
        if (!left?.delete(own) || left.size > 0) return;
        channels.delete(channel);
        await connection.use((open) => open.unsubscribe(channel, deliver)).catch(() => {});
      };
    },
    close: () => connection.close(),
  };
}
