import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";

/** A contender in a process of its own, so that its CPU and memory can be told apart. */
export interface Contender {
  readonly url: string;
  usage(): Usage;
  stop(): Promise<void>;
}

export interface Usage {
  /** CPU milliseconds, user and system, since the process began. */
  readonly cpuMs: number;
  readonly rssMb: number;
}

/** Linux counts CPU time in ticks of 10 ms (USER_HZ). */
const TICK_MS = 10;

/** Starts `node SCRIPT ARGS` and waits for the line `url: …` on its stdout. */
export async function startContender(args: readonly string[]): Promise<Contender> {
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  const url = await firstUrl(child);
  return {
    url,
    usage: () => usageOf(child.pid ?? 0),
    async stop() {
      child.kill("SIGTERM");
      await once(child, "exit");
    },
  };
}

async function firstUrl(child: ChildProcess): Promise<string> {
  if (child.stdout === null) throw new Error("no stdout");
  for await (const line of createInterface({ input: child.stdout })) {
    const url = /url: (\S+)/.exec(line)?.[1];
    if (url !== undefined) {
      child.stdout.resume();
      return url;
    }
  }
  throw new Error(`a contender ended before it listened (${child.exitCode})`);
}

function usageOf(pid: number): Usage {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  // Fields after the command's closing parenthesis; utime and stime are the 14th and 15th of all (proc(5)).
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const rss = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? "0";
  return { cpuMs: (Number(fields[11]) + Number(fields[12])) * TICK_MS, rssMb: Number(rss) / 1024 };
}
