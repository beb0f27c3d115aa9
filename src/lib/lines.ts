import { Gathered } from "./gathered.ts";

export interface LinesOptions {
  /** A longer line is skipped to its end, so that what follows is read as usual. */
  readonly maxBytes: number;
  /** A whole line without its line end. */
  onLine(line: Buffer): void;
  onTooLong(): void;
}

/** Cuts a byte stream into lines in bounded memory. */
export function createLines({ maxBytes, onLine, onTooLong }: LinesOptions): (chunk: Buffer) => void {
  let held = new Gathered();
  let skipping = false;

  function hold(part: Buffer): void {
    skipping ||= held.length + part.length > maxBytes;
    if (skipping) held = new Gathered();
    else held.add(part);
  }

  function finish(): void {
    const line = held.take();
    const skipped = skipping;
    held = new Gathered();
    skipping = false;
    if (skipped) onTooLong();
    else onLine(line);
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

/**
 * JSON text without the line ends that may stand between its tokens: on a line they would begin another message, in an
 * event another field.
 */
export function inOneLine(json: string): string {
  if (!json.includes("\n") && !json.includes("\r")) return json;
  // Not by a pattern, to which millions of them are millions of matches.
  const bytes = Buffer.from(json);
  for (let at = 0; at < bytes.length; at++) if (bytes[at] === 0x0a || bytes[at] === 0x0d) bytes[at] = 0x20;
  return bytes.toString();
}
