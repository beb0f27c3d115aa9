import type { Writable } from "node:stream";
import { inOneLine } from "../lib/lines.ts";

/** Writes one JSON-RPC message a line, whole and in the order they come. */
export interface LineWriter {
  /** Resolves when the reader can take more; what is written to a reader that has gone is dropped. */
  write(text: string): Promise<void>;
  /** Resolves when all that was written is with the reader. */
  flush(): Promise<void>;
}

/** `onStall` when the reader does not keep up, `onDrain` when it has; `onGone` when there is none any more. */
export function createLineWriter(
  output: Writable,
  on: { onStall(): void; onDrain(): void; onGone(): void },
): LineWriter {
  let drained: Promise<void> | undefined;

  function untilDrained(): Promise<void> {
    on.onStall();
    return new Promise((resolve) => {
      const done = (): void => {
        output.off("drain", done).off("close", done);
        drained = undefined;
        on.onDrain();
        resolve();
      };
      output.on("drain", done).on("close", done);
    });
  }

  output.on("error", on.onGone).on("close", on.onGone);
  return {
    async write(text) {
      if (!output.writable) return;
      if (!output.write(`${inOneLine(text)}\n`)) drained ??= untilDrained();
      await drained;
    },
    flush() {
      return new Promise((resolve) => {
        if (output.writable) output.write("", () => resolve());
        else resolve();
      });
    },
  };
}
