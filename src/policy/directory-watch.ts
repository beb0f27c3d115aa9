import { type FSWatcher, watch } from "node:fs";
import { basename, dirname, resolve } from "node:path";
import { policyDirectories } from "./policy-files.ts";

/** Editors and deployments write several files at once, and one file several times. */
const QUIET_MS = 100;
/** What cannot be watched, since it is not there or there are no watches left, is tried again after this. */
const UNWATCHED_MS = 5000;

export interface DirectoryWatch {
  /** Follows directories that came, went or were replaced. Never rejects: what cannot be watched is tried again. */
  refresh(): Promise<void>;
  close(): void;
}

/**
 * Calls back, once things are quiet, when anything below a directory changed, or the directory itself was replaced.
 * Each directory is watched by itself: the recursive watch of Node 20 misses files in new directories.
 */
export function watchDirectory(directory: string, onChange: () => void): DirectoryWatch {
  const root = resolve(directory);
  const parent = dirname(root);
  const watchers: FSWatcher[] = [];
  let quiet: NodeJS.Timeout | undefined;
  let closed = false;

  function changed(afterMs = QUIET_MS): void {
    clearTimeout(quiet);
    if (!closed) quiet = setTimeout(onChange, afterMs).unref();
  }

  function add(path: string): void {
    try {
      const watcher = watch(path, { persistent: false }, (_event, name) => {
        if (path !== parent || name === basename(root)) changed();
      });
      watcher.on("error", () => changed());
      watchers.push(watcher);
    } catch {
      changed(UNWATCHED_MS);
    }
  }

  function drop(): void {
    for (const watcher of watchers.splice(0)) watcher.close();
  }

  return {
    async refresh() {
      const below = await policyDirectories(root);
      // All anew: a directory that was replaced keeps its name, but its watcher sees nothing any more.
      drop();
      if (!closed) for (const path of [parent, ...below]) add(path);
    },
    close() {
      closed = true;
      clearTimeout(quiet);
      drop();
    },
  };
}
