import type { Upstream, UpstreamReply, UpstreamRequest } from "../domain.ts";
import type { Clock } from "../lib/clock.ts";
import { PortcullisError, toPortcullisError } from "../lib/errors.ts";
import type { JsonObject } from "../lib/json.ts";
import { type Log, withFields } from "../lib/log.ts";
import type { Command } from "./child.ts";
import { type Connection, connect } from "./connection.ts";
import type { EraChoice } from "./era.ts";
import { createScope } from "./scope.ts";
import { type Ready, shakeHands } from "./stdio-handshake.ts";
import type { Backoff } from "./watch.ts";

export interface StdioUpstreamOptions extends Command {
  readonly name: string;
  readonly era: EraChoice;
  /** The gateway's own `clientInfo`: a shared child has one client, the gateway. */
  readonly clientInfo: JsonObject;
  readonly timeouts?: Partial<StdioTimeouts>;
  readonly limits?: Partial<StdioLimits>;
  readonly log: Log;
  readonly clock: Clock;
}

/** Milliseconds. */
export interface StdioTimeouts {
  /** For each step of the handshake. */
  readonly connectMs: number;
  /** For each step of ending a child: end of input, SIGTERM; SIGKILL follows. */
  readonly graceMs: number;
  /** The first restart after a crash is immediate, the following ones wait. */
  readonly restart: Backoff;
}

export interface StdioLimits {
  /** Bytes of one answer. */
  readonly answerBytes: number;
  /** Bytes that wait for a child that does not read. */
  readonly backlogBytes: number;
}

const TIMEOUTS: StdioTimeouts = {
  connectMs: 10_000,
  graceMs: 2000,
  restart: { firstMs: 100, maxMs: 30_000 },
};
const LIMITS: StdioLimits = { answerBytes: 8 << 20, backlogBytes: 16 << 20 };

/**
 * An upstream over stdio: one child for all callers, started on first use, and again on next use after a crash.
 * The framing is our own, since the SDK's transport parses messages (it rounds big integers) and adds environment.
 */
export function createStdioUpstream(options: StdioUpstreamOptions): Upstream {
  const { name, clientInfo, clock } = options;
  const timeouts = { ...TIMEOUTS, ...options.timeouts };
  const limits = { ...LIMITS, ...options.limits };
  const log = withFields(options.log, { upstream: name });
  const listeners = new Set<() => void>();
  const children = new Set<Connection>();
  const restart = createRestart(timeouts.restart, clock);
  let era = options.era;
  let current: Promise<Ready> | undefined;
  let closed = false;

  function start(): Connection {
    const connection = connect({
      ...options,
      lineBytes: limits.answerBytes,
      backlogBytes: limits.backlogBytes,
      graceMs: timeouts.graceMs,
      log,
      onToolsChanged() {
        for (const listener of listeners) listener();
      },
      onExit(reason) {
        children.delete(connection);
        log.info({ reason, garbage: connection.garbage }, "upstream process is gone");
        if (lives === connection) lost();
      },
    });
    children.add(connection);
    return connection;
  }

  let lives: Connection | undefined;

  function lost(): void {
    lives = undefined;
    current = undefined;
    restart.failed();
  }

  async function begin(): Promise<Ready> {
    restart.check();
    try {
      const ready = await shakeHands({ era, clientInfo, connectMs: timeouts.connectMs, start });
      if (!children.has(ready.connection))
        throw new PortcullisError("upstream_unavailable", { reason: "it ended" });
      lives = ready.connection;
      restart.began();
      if (options.era === "auto") era = ready.identity.era;
      const { era: found, protocolVersion: version } = ready.identity;
      log.info({ era: found, version }, "upstream answers");
      return ready;
    } catch (error) {
      era = options.era;
      lost();
      throw error;
    }
  }

  function ready(): Promise<Ready> {
    if (closed) return Promise.reject(new PortcullisError("upstream_unavailable", { reason: "closed" }));
    current ??= begin().catch((error) => {
      current = undefined;
      throw error;
    });
    return current;
  }

  async function request({ signal, timeoutMs, ...asked }: UpstreamRequest): Promise<UpstreamReply> {
    const scope = createScope(signal, timeoutMs);
    try {
      if (scope.error !== undefined) throw scope.error;
      const { connection, meta, identity } = await scope.race(ready());
      return { ...(await connection.ask({ ...asked, meta }, scope)), era: identity.era };
    } catch (error) {
      throw toPortcullisError(error);
    } finally {
      scope.close();
    }
  }

  return {
    name,
    async identify(signal) {
      const scope = createScope(signal, 3 * timeouts.connectMs);
      try {
        return (await scope.race(ready())).identity;
      } finally {
        scope.close();
      }
    },
    request,
    // A shared child holds nothing for an owner.
    release: async () => {},
    onToolsChanged(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    async close() {
      closed = true;
      await Promise.all([...children].map((child) => child.close()));
    },
  };
}

/** Keeps a child that crashes again and again from being started in a loop. */
function createRestart({ firstMs, maxMs }: Backoff, clock: Clock) {
  let failures = 0;
  let notBefore = 0;
  let started = clock();
  return {
    began(): void {
      started = clock();
    },
    failed(): void {
      if (clock() - started > maxMs) failures = 0;
      notBefore = failures === 0 ? 0 : clock() + Math.min(maxMs, firstMs * 2 ** (failures - 1));
      failures += 1;
    },
    check(): void {
      if (clock() >= notBefore) return;
      throw new PortcullisError("upstream_unavailable", {
        reason: "it crashed: waiting before it is started again",
      });
    },
  };
}
