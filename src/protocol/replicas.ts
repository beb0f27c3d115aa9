import type { SharedStore } from "../domain.ts";
import type { Clock } from "../lib/clock.ts";
import { PortcullisError } from "../lib/errors.ts";
import { isJsonObject, type JsonObject } from "../lib/json.ts";
import type { Log } from "../lib/log.ts";
import type { Seal } from "../lib/seal.ts";
import {
  createReplicaCalls,
  type MessageHandler,
  type Messages,
  type ReplicaCalls,
} from "./replica-calls.ts";

/** The other processes of this gateway, through the store that they share. One alone is its own only replica. */
export interface Replicas extends Messages, ReplicaCalls {
  /** This one's name: of `[\w-]`. */
  readonly node: string;
  /** To every replica, this one included. @throws `store_unavailable` */
  broadcast(type: string, message: JsonObject): Promise<void>;
  close(): Promise<void>;
}

export interface ReplicasOptions {
  readonly store: Pick<SharedStore, "publish" | "subscribe">;
  readonly node: string;
  readonly seal: Seal;
  newId(): string;
  readonly clock: Clock;
  readonly log: Log;
  /** Milliseconds between two signs of life of who answers an `ask`; three without one mean that it is gone. */
  readonly beatMs?: number;
}

const EVERYBODY = "replicas";
/** Milliseconds for which a message may be under way: what a store's keeper kept is of no use later. */
const LIFE_MS = 60_000;
/** Longest sealed message. */
const MAX_LENGTH = 8 << 20;
const BEAT_MS = 2000;

/** Messages are sealed for their channel: the store carries them, but can neither read, forge nor redirect them. */
export async function createReplicas(options: ReplicasOptions): Promise<Replicas> {
  const { store, node, seal, newId, clock, log, beatMs = BEAT_MS } = options;
  const handlers = new Map<string, Set<MessageHandler>>();
  const own = channelOf(node);

  async function publish(channel: string, type: string, message: JsonObject): Promise<void> {
    const text = seal.seal(channel, { type, from: node, message }, clock() + LIFE_MS);
    if (text.length > MAX_LENGTH)
      throw new PortcullisError("internal", { reason: "a message between replicas is too large" });
    await store.publish(channel, text);
  }

  function receive(channel: string, text: string): void {
    const opened = text.length > MAX_LENGTH ? undefined : seal.open(channel, text, clock());
    if (!isJsonObject(opened)) {
      log.warn({ channel }, "dropped a message that no replica sealed");
      return;
    }
    const { type, from, message } = opened as { type: string; from: string; message: JsonObject };
    for (const handler of handlers.get(type) ?? []) {
      try {
        handler(message, from);
      } catch (err) {
        log.error({ err, type }, "a message of a replica was not handled");
      }
    }
  }

  function onMessage(type: string, handler: MessageHandler): () => void {
    const set = handlers.get(type) ?? new Set();
    handlers.set(type, set.add(handler));
    return () => void set.delete(handler);
  }

  const tell: Replicas["tell"] = (to, type, message) => publish(channelOf(to), type, message);
  const calls = createReplicaCalls({ tell, onMessage, newId, log, beatMs });
  const subscriptions = await Promise.all(
    [own, EVERYBODY].map((channel) => store.subscribe(channel, (text) => receive(channel, text))),
  );

  return {
    node,
    tell,
    broadcast: (type, message) => publish(EVERYBODY, type, message),
    onMessage,
    ask: calls.ask,
    serve: calls.serve,
    async close() {
      calls.close();
      await Promise.all(subscriptions.map((stop) => stop()));
    },
  };
}

function channelOf(node: string): string {
  return `replica ${node}`;
}
