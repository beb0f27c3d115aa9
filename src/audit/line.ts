import { crc32 } from "node:zlib";
import type { DecisionEntry, LogEntry, OutcomeEntry } from "../domain.ts";
import { isJsonObject } from "../lib/json.ts";

/** What the log adds to an entry. `seq` is the order of records; `time` is the clock as it was read. */
interface Stamp {
  readonly v: 1;
  readonly seq: number;
  readonly id: string;
  /** RFC 3339, UTC, milliseconds. */
  readonly time: string;
}

/** A decision or an outcome as it is read back. */
export type LogRecord = LogEntry & Stamp;

/** The first line of every segment: the allowed decisions that had no outcome when it began. */
export interface SegmentRecord extends Stamp {
  readonly phase: "segment";
  readonly open: readonly string[];
}

/** fresh: serialised each time. shared: the same frozen object comes again, so its text is kept. */
type Member = "fresh" | "shared";

const DECISION: readonly (readonly [keyof DecisionEntry, Member])[] = members({
  phase: "fresh",
  server: "fresh",
  era: "fresh",
  method: "fresh",
  rpc_id: "fresh",
  client_ip: "fresh",
  revision: "shared",
  principal: "shared",
  target: "fresh",
  arguments: "fresh",
  arguments_sha256: "fresh",
  context: "fresh",
  effect: "fresh",
  code: "fresh",
  grant: "shared",
  requirements: "fresh",
  reasons: "fresh",
  trace_id: "fresh",
  tenant_sha256: "fresh",
  target_sha256: "fresh",
  listed: "fresh",
  of: "fresh",
  targets_sha256: "fresh",
  count: "fresh",
} satisfies Record<keyof DecisionEntry, Member>);

const OUTCOME: readonly (readonly [keyof OutcomeEntry, Member])[] = members({
  phase: "fresh",
  decision: "fresh",
  status: "fresh",
  is_error: "fresh",
  ms: "fresh",
  bytes: "fresh",
  lease_sha256: "fresh",
} satisfies Record<keyof OutcomeEntry, Member>);

function members<Name extends string>(table: Record<Name, Member>): [Name, Member][] {
  return Object.entries(table) as [Name, Member][];
}

const texts = new WeakMap<object, string>();

function sharedText(value: object): string {
  // Only what cannot change may be remembered.
  if (!Object.isFrozen(value)) return JSON.stringify(value);
  let text = texts.get(value);
  if (text === undefined) {
    text = JSON.stringify(value);
    texts.set(value, text);
  }
  return text;
}

function textOf<Entry extends object>(
  entry: Entry,
  table: readonly (readonly [keyof Entry & string, Member])[],
): string {
  let text = "";
  for (const [name, member] of table) {
    const value = entry[name];
    if (value === undefined) continue;
    const shared = member === "shared" && typeof value === "object" && value !== null;
    text += `,"${name}":${shared ? sharedText(value) : JSON.stringify(value)}`;
  }
  return text;
}

/** The entry's members as JSON text, each with a comma before it. */
export function entryText(entry: LogEntry): string {
  return entry.phase === "decision" ? textOf(entry, DECISION) : textOf(entry, OUTCOME);
}

/** Members of a segment's first record, each with a comma before it. */
export function segmentText(open: Iterable<string>): string {
  return `,"phase":"segment","open":${JSON.stringify([...open])}`;
}

const CHECKSUM = /^,"crc":"([0-9a-f]{8})"\}$/;
const CHECKSUM_BYTES = `,"crc":"00000000"}`.length;

function checksum(bytes: string | Buffer): string {
  return crc32(bytes).toString(16).padStart(8, "0");
}

/** One line: stamp, members, and last the CRC-32 of all bytes before it, so that torn and altered are told apart. */
export function seal(seq: number, id: string, time: string, text: string): string {
  const body = `{"v":1,"seq":${seq},"id":"${id}","time":"${time}"${text}`;
  return `${body},"crc":"${checksum(body)}"}\n`;
}

/** True if the bytes, without the newline, are a line that `seal` made. */
export function isSealed(bytes: Buffer): boolean {
  const end = bytes.length - CHECKSUM_BYTES;
  if (end <= 0) return false;
  const [, sum] = CHECKSUM.exec(bytes.toString("latin1", end)) ?? [];
  return sum === checksum(bytes.subarray(0, end));
}

/** The record of a sealed line, without its checksum; null if it is not one of ours. */
export function unseal(bytes: Buffer): LogRecord | SegmentRecord | null {
  if (!isSealed(bytes)) return null;
  try {
    const parsed: unknown = JSON.parse(`${bytes.toString("utf8", 0, bytes.length - CHECKSUM_BYTES)}}`);
    return isJsonObject(parsed) && parsed.v === 1 ? (parsed as unknown as LogRecord | SegmentRecord) : null;
  } catch {
    return null;
  }
}
