import { readFileSync, statSync } from "node:fs";
import type { ListedKind, TargetId } from "../domain.ts";
import { messageOf, PortcullisError } from "../lib/errors.ts";
import { replaceFile } from "../lib/replace-file.ts";
import { keyOf, type Pin, pinFileText, readPinFile } from "./pin-file.ts";

export type { Pin };

/** Definitions as they were first seen, or last approved. */
export interface PinStore {
  get(id: TargetId): Pin | undefined;
  /** Keeps these pins, all or none. Throws when they cannot be kept. */
  put(pins: readonly Pin[]): void;
  /** Pins the pending definition; false if there is none. */
  approve(upstream: string, name: string, kind?: ListedKind): boolean;
  list(): readonly Pin[];
  /** Another one when the pins may be others, by whichever process. Never throws. */
  version(): string;
}

/** In memory: for tests, and where pins need not outlive the process. */
export function createMemoryPins(): PinStore {
  let version = 0;
  return pinStore(
    new Map(),
    () => {},
    () => {
      version += 1;
    },
    () => String(version),
  );
}

/**
 * In a JSON file of mode 0600, replaced atomically, created on first use. Another process may approve: the file is
 * read again whenever it changed. Throws when it exists and cannot be understood.
 */
export function createFilePins(path: string): PinStore {
  const pins = new Map<string, Pin>();
  let stamp = "";

  function stampOf(): string {
    const stat = statSync(path, { throwIfNoEntry: false });
    return stat === undefined ? "" : `${stat.ino} ${stat.mtimeMs} ${stat.size}`;
  }

  function load(): void {
    const now = stampOf();
    if (now === stamp) return;
    const read = now === "" ? [] : readPins(path);
    pins.clear();
    for (const pin of read) pins.set(keyOf(pin), pin);
    stamp = now;
  }

  function save(): void {
    replaceFile(path, pinFileText([...pins.values()]));
    stamp = stampOf();
  }

  load();
  return pinStore(pins, load, save, stampOf);
}

function pinStore(
  pins: Map<string, Pin>,
  load: () => void,
  save: () => void,
  stampOf: () => string,
): PinStore {
  function put(changed: readonly Pin[]): void {
    load();
    const before = changed.map((pin) => [keyOf(pin), pins.get(keyOf(pin))] as const);
    for (const pin of changed) pins.set(keyOf(pin), pin);
    try {
      save();
    } catch (cause) {
      for (const [key, pin] of before) pin === undefined ? pins.delete(key) : pins.set(key, pin);
      throw new PortcullisError("pins_unusable", {
        reason: `pins cannot be written: ${messageOf(cause)}`,
        cause,
      });
    }
  }

  return {
    get(id) {
      load();
      return pins.get(keyOf(id));
    },
    put,
    approve(upstream, name, kind = "tool") {
      load();
      const pin = pins.get(keyOf({ upstream, kind, name }));
      if (pin?.pending == null) return false;
      put([{ ...pin, ...pin.pending, pending: null }]);
      return true;
    },
    list() {
      load();
      return [...pins.values()];
    },
    version() {
      try {
        return stampOf();
      } catch {
        return "unreadable";
      }
    },
  };
}

function readPins(path: string): readonly Pin[] {
  try {
    return readPinFile(readFileSync(path, "utf8"));
  } catch (cause) {
    throw new PortcullisError("pins_unusable", {
      reason: `pins in ${path} cannot be read: ${messageOf(cause)}`,
      cause,
    });
  }
}
