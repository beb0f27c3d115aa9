import { readFileSync } from "node:fs";

/** How many files and connections this process may have open; infinite where the system does not say. */
export function maxOpenFiles(): number {
  try {
    const [, max] = /^Max open files +(\d+)/m.exec(readFileSync("/proc/self/limits", "latin1")) ?? [];
    return Number(max ?? Number.POSITIVE_INFINITY);
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}
