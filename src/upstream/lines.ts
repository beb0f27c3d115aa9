import { isUtf8 } from "node:buffer";

export interface LinesOptions {
  /** A longer line is skipped to its end, so that what follows is read as usual. */
  readonly maxBytes: number;
  /** A whole line of valid UTF-8, without its line end. */
  onLine(line: string): void;
  /** A line that was too long or not UTF-8. */
  onGarbage(): void;
}

/** Cuts a byte stream into lines in bounded memory. */
export function createLines({ maxBytes, onLine, onGarbage }: LinesOptions): (chunk: Buffer) => void {
  let held: Buffer[] = [];
  let bytes = 0;
  let skipping = false;

  function hold(part: Buffer): void {
    bytes += part.length;
    if (bytes > maxBytes) {
      skipping = true;
      held = [];
    } else if (!skipping) {
      held.push(part);
    }
  }

  function finish(): void {
    const line = Buffer.concat(held);
    const usable = !skipping && isUtf8(line);
    held = [];
    bytes = 0;
    skipping = false;
    if (usable) onLine(line.toString("utf8"));
    else onGarbage();
  }

  return (chunk) => {
    let start = 0;
    for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, start)) {
      hold(chunk.subarray(start, end));
      finish();
      start = end + 1;
    }
    if (start < chunk.length) hold(chunk.subarray(start));
  };
}
