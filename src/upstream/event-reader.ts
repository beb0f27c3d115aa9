import { isUtf8 } from "node:buffer";
import { Gathered } from "../lib/gathered.ts";

export interface EventReaderOptions {
  /** Bytes of one event. */
  readonly maxBytes: number;
  /** A whole event: its type, "" where it names none, and its data. */
  onEvent(type: string, data: string): void;
  /** The id of an event, before its data. */
  onId(id: string): void;
  /** The `retry:` field, milliseconds. */
  onRetry(ms: number): void;
  /** It is no event stream that can be read on. */
  onFault(reason: string): void;
}

const [LF, CR] = [10, 13];
const BOM = "\ufeff";

/**
 * Reads an event stream by the grammar of WHATWG HTML, section 9.2.6, in linear time and bounded memory, whatever its
 * sender makes of line ends, unknown fields and chunks.
 */
export class EventReader {
  readonly #options: EventReaderOptions;
  /** The beginning of a line. */
  #held = new Gathered();
  #isFirstLine = true;
  /** What came last is a CR that ends a line: an LF that follows belongs to it. */
  #isAfterCr = false;
  #type = "";
  #data: string | undefined;
  #id: string | undefined;

  constructor(options: EventReaderOptions) {
    this.#options = options;
  }

  feed(received: Buffer): void {
    const chunk = this.#isAfterCr && received[0] === LF ? received.subarray(1) : received;
    if (received.length > 0) this.#isAfterCr = false;
    // A line end is no part of any other character, so that whole lines are whole characters.
    const end = Math.max(chunk.lastIndexOf(LF), chunk.lastIndexOf(CR)) + 1;
    if (end > 0) {
      this.#isAfterCr = end === chunk.length && chunk[end - 1] === CR;
      this.#held.add(chunk.subarray(0, end));
      const lines = this.#held.take();
      this.#held = new Gathered();
      if (isUtf8(lines)) this.#lines(lines.toString("utf8"));
      else this.#options.onFault("the event stream is not UTF-8");
    }
    if (end < chunk.length) this.#held.add(chunk.subarray(end));
    if (this.#held.length + (this.#data?.length ?? 0) > this.#options.maxBytes)
      this.#options.onFault("an event is too large");
  }

  #lines(received: string): void {
    const text = received.includes("\r") ? received.replaceAll(/\r\n?/g, "\n") : received;
    let start = this.#isFirstLine && text.startsWith(BOM) ? 1 : 0;
    this.#isFirstLine = false;
    for (let end = text.indexOf("\n", start); end !== -1; end = text.indexOf("\n", start)) {
      if (start === end) this.#dispatch();
      else if (text.startsWith("data:", start)) this.#append(text.slice(valueAt(text, start + 5), end));
      else if (text[start] !== ":") this.#field(text.slice(start, end));
      start = end + 1;
    }
  }

  #field(line: string): void {
    const colon = line.indexOf(":");
    const [name, value] =
      colon === -1 ? [line, ""] : [line.slice(0, colon), line.slice(valueAt(line, colon + 1))];
    if (name === "data") this.#append(value);
    else if (name === "event") this.#type = value;
    else if (name === "id" && !value.includes("\0")) this.#id = value;
    else if (name === "retry" && /^[0-9]+$/.test(value)) this.#options.onRetry(Number(value));
  }

  #append(value: string): void {
    this.#data = this.#data === undefined ? value : `${this.#data}\n${value}`;
  }

  #dispatch(): void {
    const [id, type, data] = [this.#id, this.#type, this.#data];
    this.#id = undefined;
    this.#type = "";
    this.#data = undefined;
    if (id !== undefined) this.#options.onId(id);
    if (data !== undefined) this.#options.onEvent(type, data);
  }
}

/** Where a field's value begins: one space after the colon is no part of it. */
function valueAt(line: string, afterColon: number): number {
  return line[afterColon] === " " ? afterColon + 1 : afterColon;
}
