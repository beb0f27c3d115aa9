import type { Log } from "../lib/log.ts";

/** What was opened, and how each part is closed. */
export interface Closing {
  /** Registers how a part is closed, and gives the part. */
  add<Part>(part: Part, close: (part: Part) => unknown): Part;
  /** Last opened, first closed: what is served ends before what it is served with. */
  closeAll(): Promise<void>;
}

export function createClosing(log: Log): Closing {
  const closers: (() => unknown)[] = [];
  return {
    add(part, close) {
      closers.push(() => close(part));
      return part;
    },
    async closeAll() {
      for (const close of closers.splice(0).reverse()) {
        // One part that cannot be closed must not keep the others open.
        await Promise.resolve()
          .then(close)
          .catch((err: unknown) => log.error({ err }, "a part of the gateway could not be closed"));
      }
    },
  };
}
