import { closeSync, fsyncSync, openSync, renameSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { randomId } from "./ids.ts";

/** Replaces a file of mode 0600 whole: whoever reads it, also after a power cut, reads the old text or the new one. */
export function replaceFile(path: string, text: string): void {
  const next = `${path}.${randomId()}`;
  writeFileSync(next, text, { mode: 0o600, flush: true });
  renameSync(next, path);
  // A new name is not durable before its directory is.
  const directory = openSync(dirname(path), "r");
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}
