import type { Era, Holder, Listed } from "../domain.ts";
import type { Clock } from "../lib/clock.ts";
import { PortcullisError } from "../lib/errors.ts";
import type { JsonObject } from "../lib/json.ts";
import type { Log } from "../lib/log.ts";
import type { Command } from "./child.ts";
import type { Compartment } from "./compartment.ts";
import { type Connection, connect } from "./connection.ts";
import type { EraChoice } from "./era.ts";
import type { OrphanGuard } from "./orphans.ts";
import type { AskClient } from "./questions.ts";
import { createRestart } from "./restart.ts";
import { type Ready, shakeHands } from "./stdio-handshake.ts";
import type { Backoff } from "./watch.ts";

/** Milliseconds. */
export interface StdioTimeouts {
  /** For each step of the handshake. */
  readonly connectMs: number;
  /** For each step of ending a child: end of input, SIGTERM; SIGKILL follows. */
  readonly graceMs: number;
  /** A child without a request for so long is ended, and started again on next use. */
  readonly idleMs: number;
  /** The first restart after a crash is immediate, the following ones wait. */
  readonly restart: Backoff;
}

export interface StdioLimits {
  /** Processes at once. */
  readonly children: number;
  /** And of one user, all runs included. */
  readonly childrenPerUser: number;
  /** Bytes of one answer. */
  readonly answerBytes: number;
  /** Bytes that wait for a child that does not read. */
  readonly backlogBytes: number;
}

/** What all children of an upstream have in common. */
export interface Kin extends Command {
  readonly clientInfo: JsonObject;
  readonly timeouts: StdioTimeouts;
  readonly limits: StdioLimits;
  readonly orphans: OrphanGuard;
  readonly log: Log;
  readonly clock: Clock;
  /** What one child was found to speak, so do the others; it is forgotten when a start fails. */
  readonly era: { choice: EraChoice; learn(found: Era | undefined): void };
  /** Resolves when one more process may be started, which is counted until `leave`; rejects with `overloaded`. */
  enter(holder: Holder): Promise<void>;
  leave(holder: Holder): void;
  onChange(what: Listed): void;
}

interface LifeEvents {
  onReady(ready: Ready): void;
  /** A child that was ready has crashed. */
  onLost(): void;
  onNotification(method: string, params: string): void;
  readonly onQuestion: AskClient;
}

/** One child after another for one compartment. */
export interface Life {
  /** Starts one if none lives. Rejects with `upstream_*` or `overloaded`. */
  ready(): Promise<Ready>;
  /** One lives, or starts. */
  readonly isOn: boolean;
  /** Nothing is left of it, and nothing to remember. */
  readonly isOver: boolean;
  /** Milliseconds until one may be started. */
  wait(): number;
  end(): Promise<void>;
}

interface Attempt {
  isOver: boolean;
}

export function createLife(compartment: Compartment, kin: Kin, events: LifeEvents): Life {
  const { timeouts, limits, log, clock } = kin;
  const restart = createRestart(timeouts.restart, clock);
  const processes = new Set<Connection>();
  let attempt: Attempt = { isOver: true };
  let current: Promise<Ready> | undefined;
  let living: Connection | undefined;

  async function start(mine: Attempt): Promise<Connection> {
    await kin.enter(compartment.holder);
    try {
      if (mine.isOver) throw ended();
      const connection: Connection = connect({
        ...kin,
        env: { ...kin.env, ...Object.fromEntries(compartment.env) },
        lineBytes: limits.answerBytes,
        backlogBytes: limits.backlogBytes,
        graceMs: timeouts.graceMs,
        onNotification: events.onNotification,
        onQuestion: compartment.oneUser ? events.onQuestion : undefined,
        onExit: (reason) => leave(connection, reason),
      });
      processes.add(connection);
      return connection;
    } catch (error) {
      kin.leave(compartment.holder);
      throw error;
    }
  }

  function leave(connection: Connection, reason: string): void {
    processes.delete(connection);
    log.info({ reason, garbage: connection.garbage }, "upstream process is gone");
    if (living === connection) {
      living = undefined;
      current = undefined;
      restart.failed();
      events.onLost();
    }
    kin.leave(compartment.holder);
  }

  async function begin(mine: Attempt): Promise<Ready> {
    restart.check();
    const { clientInfo, era } = kin;
    const { capabilities } = compartment;
    const { connectMs } = timeouts;
    try {
      const options = { era: era.choice, clientInfo, capabilities, connectMs, start: () => start(mine) };
      const ready = await shakeHands(options);
      if (mine.isOver || !processes.has(ready.connection)) throw ended();
      living = ready.connection;
      restart.began();
      era.learn(ready.identity.era);
      log.info({ era: ready.identity.era, version: ready.identity.protocolVersion }, "upstream answers");
      events.onReady(ready);
      return ready;
    } catch (error) {
      if (!mine.isOver && !isOverloaded(error)) {
        era.learn(undefined);
        restart.failed();
      }
      throw error;
    }
  }

  return {
    ready() {
      if (current !== undefined) return current;
      attempt = { isOver: false };
      const starting = begin(attempt);
      current = starting;
      starting.catch(() => {
        if (current === starting) current = undefined;
      });
      return starting;
    },
    get isOn() {
      return current !== undefined;
    },
    get isOver() {
      return current === undefined && processes.size === 0 && restart.isCalm;
    },
    wait: restart.wait,
    async end() {
      attempt.isOver = true;
      living = undefined;
      current = undefined;
      await Promise.all([...processes].map((connection) => connection.close()));
    },
  };
}

function ended(): PortcullisError {
  return new PortcullisError("upstream_unavailable", { reason: "it ended" });
}

function isOverloaded(error: unknown): boolean {
  return error instanceof PortcullisError && error.code === "overloaded";
}
