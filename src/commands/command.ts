import type { Readable, Writable } from "node:stream";
import type { Log } from "../lib/log.ts";

/** What a command is given of the world: `main.ts` alone reads the process. */
export interface Surroundings {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  readonly pid: number;
  /** The operating system's name of the user. */
  readonly user: string;
  readonly stdin: Readable & { readonly isTTY?: boolean };
  readonly stdout: Writable & { readonly isTTY?: boolean };
  readonly stderr: Output;
  /** Resolves at the first SIGINT or SIGTERM. */
  readonly stopped: Promise<void>;
  /** To stderr: stdout is the command's own. */
  createLog(level: string): Log;
}

export interface Output {
  write(text: string): unknown;
  readonly isTTY?: boolean;
}

export interface CommonOptions {
  /** The configuration file. */
  readonly config: string;
  readonly json?: boolean;
}

/** 0: ok. 1: a finding. 2: the command could not be carried out as it was given. */
export type ExitCode = 0 | 1 | 2;
