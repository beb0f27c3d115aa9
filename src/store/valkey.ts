import { ErrorReply, type RedisClientOptions } from "@redis/client";
import type { SharedStore } from "../domain.ts";
import { PortcullisError } from "../lib/errors.ts";
import type { Log } from "../lib/log.ts";
import type { Secret } from "../lib/secret.ts";
import { openConnection } from "./connection.ts";
import { openListening } from "./listening.ts";
import { AFTER, APPEND, JOIN, MEMBERS, REPLACE, type Script } from "./scripts.ts";

export interface ValkeyOptions {
  /** `redis://host:port/database`, or `rediss://` for TLS. */
  readonly url: string;
  readonly username?: string;
  readonly password?: Secret;
  /** For `rediss://`: PEM of the authority that signed the server's certificate; absent: the system's. */
  readonly ca?: string;
  /** Of every key and channel, so that several gateways can share a server. */
  readonly prefix: string;
  readonly log: Log;
}

/**
 * A Valkey (or Redis, from 7 on) server. While it is away every call is refused at once or within a second, and soon
 * after it is back they are served again; what a lost command did is unknown.
 */
export async function openValkeyStore({ prefix, log, ...options }: ValkeyOptions): Promise<SharedStore> {
  const client = clientOptions(options);
  const [commands, listening] = await Promise.all([
    openConnection({ client, log }),
    openListening({ client, prefix, log }),
  ]);

  function send<T>(...args: readonly (string | number)[]): Promise<T> {
    return commands.use((open) => open.sendCommand<T>(args.map(String)));
  }

  async function run<T>(
    { sha1, text }: Script,
    key: string,
    ...args: readonly (string | number)[]
  ): Promise<T> {
    try {
      return await send("EVALSHA", sha1, 1, prefix + key, ...args);
    } catch (error) {
      // A server that has just started knows no scripts.
      if (!isMissingScript(error)) throw error;
      return send("EVAL", text, 1, prefix + key, ...args);
    }
  }

  return {
    get: async (key) => (await send<string | null>("GET", prefix + key)) ?? undefined,
    touch: async (key, ttlMs) =>
      (await send<string | null>("GETEX", prefix + key, "PX", Math.ceil(ttlMs))) ?? undefined,
    async set(key, value, ttlMs) {
      await send("SET", prefix + key, value, "PX", Math.ceil(ttlMs));
    },
    add: async (key, value, ttlMs) =>
      (await send("SET", prefix + key, value, "NX", "PX", Math.ceil(ttlMs))) === "OK",
    replace: async (key, before, value, ttlMs) =>
      (await run<number>(REPLACE, key, before, value, Math.ceil(ttlMs))) === 1,
    delete: async (key) => (await send("DEL", prefix + key)) === 1,
    join: async (set, member, ttlMs, max) => (await run(JOIN, set, member, Math.ceil(ttlMs), max)) === 1,
    async leave(set, member) {
      await send("ZREM", prefix + set, member);
    },
    members: (set) => run<string[]>(MEMBERS, set),
    append: (log, value, limits, ttlMs) =>
      run<number>(APPEND, log, value, Math.ceil(ttlMs), limits.entries, limits.bytes),
    async after(log, place) {
      const values = await run<string[] | null>(AFTER, log, place);
      return values?.map((value, index) => ({ place: place + 1 + index, value }));
    },
    async publish(channel, message) {
      await send("PUBLISH", prefix + channel, message);
    },
    subscribe: listening.subscribe,
    get healthy() {
      return commands.ready && listening.ready;
    },
    async close() {
      await Promise.all([commands.close(), listening.close()]);
    },
  };
}

function clientOptions({
  url,
  username,
  password,
  ca,
}: Omit<ValkeyOptions, "prefix" | "log">): RedisClientOptions {
  const socket = { connectTimeout: 5000, reconnectStrategy: false } as const;
  return {
    url,
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password: password.reveal() }),
    socket: url.startsWith("rediss:") ? { ...socket, tls: true, ...(ca !== undefined && { ca }) } : socket,
  };
}

function isMissingScript(error: unknown): boolean {
  const cause = error instanceof PortcullisError ? error.cause : undefined;
  return cause instanceof ErrorReply && cause.message.startsWith("NOSCRIPT");
}
