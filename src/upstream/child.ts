import { type ChildProcessByStdio, spawn } from "node:child_process";
import type { Readable, Writable } from "node:stream";
import type { Clock } from "../lib/clock.ts";
import type { Log } from "../lib/log.ts";
import { Secret } from "../lib/secret.ts";
import { createLines } from "./lines.ts";

export interface Command {
  readonly command: string;
  readonly args: readonly string[];
  /** The whole environment of the child: nothing is inherited. */
  readonly env: Readonly<Record<string, string | Secret>>;
  readonly cwd?: string;
}

export interface ChildOptions extends Command {
  /** Longest line on stdout, bytes. */
  readonly lineBytes: number;
  /** Most bytes that wait for a child that does not read. */
  readonly backlogBytes: number;
  /** Milliseconds that each of the steps of an end may take: end of input, SIGTERM. */
  readonly graceMs: number;
  readonly log: Log;
  readonly clock: Clock;
  onLine(line: string): void;
  onGarbage(): void;
  /** Once, also when the command could not be started. */
  onExit(reason: string): void;
}

export interface Child {
  /** Sends one line; false when the child does not take it. */
  send(line: string): boolean;
  /** Ends the child and all that it started: end of input, SIGTERM, SIGKILL. */
  close(): Promise<void>;
}

const STDERR_LINE_BYTES = 4096;
const STDERR_LINES_PER_SECOND = 50;

export function startChild(options: ChildOptions): Child {
  const { command, args, env, cwd, graceMs } = options;
  const child: ChildProcessByStdio<Writable, Readable, Readable> = spawn(command, [...args], {
    env: Object.fromEntries(Object.entries(env).map(([name, value]) => [name, revealed(value)])),
    stdio: ["pipe", "pipe", "pipe"],
    // A group of its own, so that what the command starts can be ended with it.
    detached: process.platform !== "win32",
    windowsHide: true,
    ...(cwd === undefined ? {} : { cwd }),
  });
  const gone = new Promise<void>((resolve) => {
    const leave = (reason: string) => {
      signalGroup("SIGKILL");
      resolve();
      options.onExit(reason);
    };
    child.once("error", (error: NodeJS.ErrnoException) => leave(error.code ?? error.name));
    child.once("close", (code, signal) => leave(`ended with ${signal ?? code}`));
    // Its pipes may be held open by what it started: those are ended, then `close` follows.
    child.once("exit", () => setTimeout(() => signalGroup("SIGKILL"), 200).unref());
  });

  child.stdin.on("error", () => {});
  child.stdout.on("data", createLines({ ...options, maxBytes: options.lineBytes }));
  child.stderr.on("data", stderrLines(options));

  function signalGroup(signal: NodeJS.Signals): void {
    if (child.pid === undefined) return;
    try {
      if (process.platform === "win32") child.kill(signal);
      else process.kill(-child.pid, signal);
    } catch {
      // Nothing is left to signal.
    }
  }

  return {
    send(line) {
      if (!child.stdin.writable || child.stdin.writableLength > options.backlogBytes) return false;
      child.stdin.write(`${line}\n`);
      return true;
    },
    async close() {
      child.stdin.end();
      if (await within(gone, graceMs)) return;
      signalGroup("SIGTERM");
      if (await within(gone, graceMs)) return;
      signalGroup("SIGKILL");
      await gone;
    },
  };
}

function revealed(value: string | Secret): string {
  return value instanceof Secret ? value.reveal() : value;
}

function within(event: Promise<void>, ms: number): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(false), ms);
    event.then(() => {
      clearTimeout(timer);
      resolve(true);
    }, resolve);
  });
}

/** A child's stderr in the log: lines cut, their rate bounded, the secrets it was given taken out. */
function stderrLines({ env, log, clock }: ChildOptions): (chunk: Buffer) => void {
  const secrets = Object.values(env).flatMap((value) => (value instanceof Secret ? [value.reveal()] : []));
  let second = 0;
  let lines = 0;

  function mayLog(): boolean {
    const now = Math.floor(clock() / 1000);
    if (now !== second) lines = 0;
    second = now;
    lines += 1;
    return lines <= STDERR_LINES_PER_SECOND;
  }

  return createLines({
    maxBytes: STDERR_LINE_BYTES,
    onLine(line) {
      if (!mayLog()) return;
      const safe = secrets
        .filter((one) => one !== "")
        .reduce((text, one) => text.replaceAll(one, "[secret]"), line);
      log.info({ stderr: safe }, "upstream says");
    },
    onGarbage() {},
  });
}
