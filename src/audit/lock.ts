import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PortcullisError } from "../lib/errors.ts";
import { randomId } from "../lib/ids.ts";
import { isJsonObject } from "../lib/json.ts";

/** A process, told apart from a later one with the same pid by its boot and start time; null if it is gone. */
function identityOf(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    // proc(5): fields 3 and 22, counted behind the name in parentheses, which may hold anything.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const [state, startTime] = [fields[0], fields[19]];
    // Killed, and not yet reaped by its parent: it holds nothing any more.
    if (state === "Z" || state === "X") return null;
    return `${readFileSync("/proc/sys/kernel/random/boot_id", "latin1").trim()}:${startTime}`;
  } catch {
    return isAlive(pid) ? "unknown" : null;
  }
}

/** For systems without /proc. */
function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** The pid that holds the lock, or null if nobody who wrote this text still lives. */
function holderOf(text: string): number | null {
  try {
    const holder: unknown = JSON.parse(text);
    if (!isJsonObject(holder) || typeof holder.pid !== "number") return null;
    return identityOf(holder.pid) === holder.start ? holder.pid : null;
  } catch {
    return null;
  }
}

function tryLink(from: string, to: string): boolean {
  try {
    linkSync(from, to);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return "";
    throw error;
  }
}

/** Moves a dead holder's lock away. If a live one took its place meanwhile, puts that one back. */
function clearStale(lock: string, stale: string): void {
  const aside = `${lock}.${randomId()}`;
  try {
    renameSync(lock, aside);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
    throw error;
  }
  if (read(aside) !== stale) tryLink(aside, lock);
  rmSync(aside);
}

/**
 * One writer for a log directory. Two would interleave their seq and lose records.
 * @returns how to release it
 */
export function acquireLock(directory: string): () => void {
  const lock = join(directory, "lock");
  const mine = `${lock}.${randomId()}`;
  const text = JSON.stringify({ pid: process.pid, start: identityOf(process.pid) });
  writeFileSync(mine, text, { mode: 0o600, flag: "wx" });
  try {
    // A link appears with its content: nobody can read a lock that is half written.
    while (!tryLink(mine, lock)) {
      const held = read(lock);
      const holder = holderOf(held);
      if (holder !== null) {
        throw new PortcullisError("audit_unavailable", {
          reason: `the decision log in ${directory} is in use by process ${holder}`,
        });
      }
      clearStale(lock, held);
    }
  } finally {
    rmSync(mine, { force: true });
  }
  return () => {
    if (read(lock) === text) rmSync(lock, { force: true });
  };
}
