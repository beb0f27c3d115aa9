import { isUtf8 } from "node:buffer";
import { type ChildProcessByStdio, spawn } from "node:child_process";
import type { Readable, Writable } from "node:stream";
import type { Clock } from "../lib/clock.ts";
import { PortcullisError } from "../lib/errors.ts";
import { createLines } from "../lib/lines.ts";
import type { Log } from "../lib/log.ts";
import { patiently } from "../lib/patience.ts";
import { Secret } from "../lib/secret.ts";
import { createCut } from "./cut.ts";
import type { OrphanGuard } from "./orphans.ts";

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
  readonly orphans: OrphanGuard;
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

/** What its pipes may hold when it ends is read for so long, in ms; they may be held open by what it started. */
const LAST_WORDS_MS = 200;
const STDERR_LINE_BYTES = 4096;
const STDERR_LINES_PER_SECOND = 50;

/** Throws `upstream_unavailable` for what no process can be given. */
export function startChild(options: ChildOptions): Child {
  const { graceMs } = options;
  const child = spawnCommand(options);
  const forget = child.pid === undefined ? () => {} : options.orphans.hold(child.pid);
  let isGone = false;
  const gone = new Promise<void>((resolve) => {
    const leave = (reason: string) => {
      // What could not be started fails, and closes as well.
      if (isGone) return;
      isGone = true;
      signalGroup("SIGKILL");
      forget();
      resolve();
      options.onExit(reason);
    };
    child.once("error", (error: NodeJS.ErrnoException) => leave(error.code ?? error.name));
    child.once("close", (code, signal) => leave(`ended with ${signal ?? code}`));
    child.once("exit", () => setTimeout(cut, LAST_WORDS_MS).unref());
  });

  child.stdin.on("error", () => {});
  child.stdout.on("data", textLines({ ...options, maxBytes: options.lineBytes }));
  child.stderr.on("data", stderrLines(options));

  /** Ends what it started; a process that left the group may hold its pipes on, so they are closed as well. */
  function cut(): void {
    signalGroup("SIGKILL");
    child.stdout.destroy();
    child.stderr.destroy();
  }

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
      if (await patiently(gone, graceMs)) return;
      signalGroup("SIGTERM");
      if (await patiently(gone, graceMs)) return;
      signalGroup("SIGKILL");
      await gone;
    },
  };
}

type ChildWithPipes = ChildProcessByStdio<Writable, Readable, Readable>;

/** Throws `upstream_unavailable`; what Node throws may quote a secret. */
function spawnCommand({ command, args, env, cwd }: Command): ChildWithPipes {
  let child: ChildWithPipes;
  try {
    child = spawn(command, [...args], {
      env: Object.fromEntries(Object.entries(env).map(([name, value]) => [name, revealed(value)])),
      stdio: ["pipe", "pipe", "pipe"],
      // A group of its own, so that what the command starts can be ended with it.
      detached: process.platform !== "win32",
      windowsHide: true,
      ...(cwd === undefined ? {} : { cwd }),
    });
  } catch {
    throw new PortcullisError("upstream_unavailable", { reason: "it cannot be started" });
  }
  // Without descriptors left there are no pipes, and the error is told later.
  child.on("error", () => {});
  if (child.stdin === undefined) throw new PortcullisError("upstream_unavailable", { reason: "no pipes" });
  return child;
}

interface TextLines extends Pick<ChildOptions, "onLine" | "onGarbage"> {
  readonly maxBytes: number;
}

function textLines({ maxBytes, onLine, onGarbage }: TextLines): (chunk: Buffer) => void {
  return createLines({
    maxBytes,
    onLine: (line) => (isUtf8(line) ? onLine(line.toString("utf8")) : onGarbage()),
    onTooLong: onGarbage,
  });
}

function revealed(value: string | Secret): string {
  return value instanceof Secret ? value.reveal() : value;
}

/** A child's stderr in the log: lines cut, their rate bounded, the secrets it was given taken out. */
function stderrLines({ env, log, clock }: ChildOptions): (chunk: Buffer) => void {
  const given = Object.values(env).flatMap((value) => (value instanceof Secret ? [value.reveal()] : []));
  // No words of a client's that could merely look alike.
  const cut = createCut(given, 1);
  let second = 0;
  let lines = 0;

  function mayLog(): boolean {
    const now = Math.floor(clock() / 1000);
    if (now !== second) lines = 0;
    second = now;
    lines += 1;
    return lines <= STDERR_LINES_PER_SECOND;
  }

  return textLines({
    maxBytes: STDERR_LINE_BYTES,
    onLine(line) {
      if (!mayLog()) return;
      log.info({ stderr: cut(line) }, "upstream says");
    },
    onGarbage() {},
  });
}
