import { readFile } from "node:fs/promises";
import type { SharedStore } from "../domain.ts";
import type { Clock } from "../lib/clock.ts";
import { PortcullisError } from "../lib/errors.ts";
import { isJsonObject } from "../lib/json.ts";
import type { Log } from "../lib/log.ts";
import { replaceFile } from "../lib/replace-file.ts";
import type { Seal } from "../lib/seal.ts";
import { readSuspensions, type Suspension, suspensionsJson } from "./ledger.ts";

/** The ledger as it is kept outside of this process, where others may change it meanwhile. */
export interface LedgerCopy {
  /** null: there is none that can be read. */
  read(): Promise<{ readonly found: readonly Suspension[] | null; readonly version: string | undefined }>;
  /** false: it is no longer the version that was read. */
  write(version: string | undefined, all: readonly Suspension[]): Promise<boolean>;
}

const FORMAT = 1;

/**
 * A file, which outlives the process and is read by others that share its folder. One that is there and cannot be
 * understood rejects: who would go on without it would serve a tenant that is suspended.
 */
export function fileCopy(path: string): LedgerCopy {
  return {
    async read() {
      try {
        const value: unknown = JSON.parse(await readFile(path, "utf8"));
        if (!isJsonObject(value) || value.v !== FORMAT) throw new Error("not of a known format");
        return { found: readSuspensions(value.suspensions), version: undefined };
      } catch (cause) {
        if ((cause as NodeJS.ErrnoException).code === "ENOENT") return { found: [], version: undefined };
        throw new PortcullisError("internal", { reason: `suspensions in ${path} cannot be read`, cause });
      }
    },
    async write(_, all) {
      try {
        replaceFile(path, `${JSON.stringify({ v: FORMAT, suspensions: suspensionsJson(all) }, null, 2)}\n`);
        return true;
      } catch (cause) {
        throw new PortcullisError("internal", {
          reason: `suspensions in ${path} cannot be written: what was ordered holds until this process ends`,
          cause,
        });
      }
    },
  };
}

const PURPOSE = "suspensions";
const LIFE_MS = 365 * 24 * 3600 * 1000;

/**
 * One sealed text in the store: who can write there can lift nothing. Where it is lost, whoever knows of a suspension
 * puts it back. `onWritten` tells the other replicas to look.
 */
export function sharedCopy(options: {
  readonly store: SharedStore;
  readonly seal: Seal;
  readonly clock: Clock;
  readonly log: Log;
  onWritten(): Promise<void>;
}): LedgerCopy {
  const { store, seal, clock, log, onWritten } = options;
  // Replicas with another key could only overwrite this, and this replica theirs, each as fast as the store is.
  const key = `suspensions ${seal.nameFor(PURPOSE)}`;

  function open(text: string): readonly Suspension[] | null {
    const value = seal.open(PURPOSE, text, clock());
    if (value !== undefined) return readSuspensions(value);
    log.warn({}, "the store's suspensions are not sealed with this key: they are written anew");
    return null;
  }

  return {
    async read() {
      const version = await store.touch(key, LIFE_MS);
      return { found: version === undefined ? null : open(version), version };
    },
    async write(version, all) {
      const text = seal.seal(PURPOSE, suspensionsJson(all), clock() + LIFE_MS);
      const written =
        version === undefined
          ? await store.add(key, text, LIFE_MS)
          : await store.replace(key, version, text, LIFE_MS);
      if (written) await onWritten();
      return written;
    },
  };
}
