import { crc32 } from "node:zlib";
import type {
  DecisionEntry,
  InputEntry,
  LeaseEntry,
  LogEntry,
  OperatorEntry,
  OutcomeEntry,
  TargetId,
} from "../domain.ts";
import { isJsonObject } from "../lib/json.ts";

/** What the log adds to an entry. `seq` is the order of records; `time` is the clock as it was read. */
interface Stamp {
  readonly v: 1;
  readonly seq: number;
  readonly id: string;
  /** RFC 3339, UTC, milliseconds. */
  readonly time: string;
}

/** A decision, an outcome, a lease or what an operator did, as it is read back. */
export type LogRecord = LogEntry & Stamp;
export type DecisionRecord = DecisionEntry & Stamp;

/** What decisions were made on, under the digest that their records name. */
export type InputRecord = InputEntry & Stamp;

/** The first line of every segment: the allowed decisions that had no outcome when it began. */
export interface SegmentRecord extends Stamp {
  readonly phase: "segment";
  readonly open: readonly string[];
}

/** Every line of the log. */
export type LineRecord = LogRecord | InputRecord | SegmentRecord;

type Write = (value: unknown) => string;

const DECISION = members<DecisionEntry>({
  phase: word,
  server: word,
  era: word,
  method: word,
  rpc_id: plain,
  client_ip: word,
  revision: shared,
  principal: shared,
  target: identity,
  arguments: fresh,
  arguments_sha256: plain,
  context: clock,
  effect: word,
  code: word,
  grant: shared,
  requirements: fresh,
  reasons: list,
  trace_id: word,
  tenant_sha256: word,
  target_sha256: word,
  within: plain,
  named: fresh,
  matched: fresh,
  matched_sha256: fresh,
  listed: plain,
  of: plain,
  targets_sha256: word,
  count: plain,
});

const OUTCOME = members<OutcomeEntry>({
  phase: word,
  decision: plain,
  status: word,
  is_error: fresh,
  ms: plain,
  bytes: plain,
  lease_sha256: word,
  withheld: plain,
});

const LEASE = members<LeaseEntry>({
  phase: word,
  event: word,
  decision: plain,
  lease_sha256: word,
  expires: plain,
  tenant: word,
  issuer: word,
  subject: word,
  run: word,
  source: word,
  role: word,
  upstream: word,
  server: word,
  revision: shared,
  request_id: plain,
  reason: word,
});

const OPERATOR = members<OperatorEntry>({
  phase: word,
  action: word,
  tenant: word,
  reason: fresh,
  by: word,
  issuer: word,
  subject: word,
  account: word,
});

interface Member<Entry> {
  readonly name: keyof Entry;
  readonly prefix: string;
  readonly write: Write;
}

function members<Entry>(table: Record<keyof Entry & string, Write>): readonly Member<Entry>[] {
  return Object.entries<Write>(table).map(([name, write]) => ({
    name: name as keyof Entry,
    prefix: `,"${name}":`,
    write,
  }));
}

function fresh(value: unknown): string {
  return JSON.stringify(value);
}

const PLAIN = /^[\w.:/+=-]*$/;

/** A number, or a text that most likely needs no escapes. */
function plain(value: unknown): string {
  if (typeof value === "string" && PLAIN.test(value)) return `"${value}"`;
  return Number.isFinite(value) ? `${value}` : JSON.stringify(value);
}

function identity(value: unknown): string {
  if (value === null) return "null";
  const { upstream, kind, name } = value as TargetId;
  return `{"upstream":${word(upstream)},"kind":${word(kind)},"name":${word(name)}}`;
}

function clock(value: unknown): string {
  return `{"now":${plain((value as DecisionEntry["context"]).now)}}`;
}

function list(value: unknown): string {
  return Array.isArray(value) && value.length === 0 ? "[]" : JSON.stringify(value);
}

const MAX_WORDS = 4096;
const MAX_WORD_LENGTH = 128;
const words = new Map<string, string>();

/** A text that comes again in many records: serialised once. */
function word(value: unknown): string {
  if (typeof value !== "string" || value.length > MAX_WORD_LENGTH) return JSON.stringify(value);
  let text = words.get(value);
  if (text === undefined) {
    // Some of them are a client's own, new in each request.
    if (words.size >= MAX_WORDS) words.clear();
    text = JSON.stringify(value);
    words.set(value, text);
  }
  return text;
}

const texts = new WeakMap<object, string>();

/** An object that comes again in many records. Only what cannot change may be remembered. */
function shared(value: unknown): string {
  if (typeof value !== "object" || value === null || !Object.isFrozen(value)) return JSON.stringify(value);
  let text = texts.get(value);
  if (text === undefined) {
    text = JSON.stringify(value);
    texts.set(value, text);
  }
  return text;
}

function textOf<Entry>(entry: Entry, table: readonly Member<Entry>[]): string {
  let text = "";
  for (const { name, prefix, write } of table) {
    const value = entry[name];
    if (value !== undefined) text += prefix + write(value);
  }
  return text;
}

/** The entry's members as JSON text, each with a comma before it. */
export function entryText(entry: LogEntry): string {
  switch (entry.phase) {
    case "decision":
      return textOf(entry, DECISION);
    case "outcome":
      return textOf(entry, OUTCOME);
    case "lease":
      return textOf(entry, LEASE);
    case "operator":
      return textOf(entry, OPERATOR);
  }
}

/** Members of a segment's first record, each with a comma before it. */
export function segmentText(open: Iterable<string>): string {
  return `,"phase":"segment","open":${JSON.stringify([...open])}`;
}

const CHECKSUM = /^,"crc":"([0-9a-f]{8})"\}$/;
const UNCHECKED = `,"crc":"00000000"}`;
const CHECKSUM_BYTES = UNCHECKED.length;
/** Where the digits stand, from the end of the line. */
const DIGITS = `00000000"}\n`.length;
const HEX = Buffer.from("0123456789abcdef");

/** Eight digits, in place. */
function putHex(line: Buffer, start: number, value: number): void {
  for (let at = 0; at < 8; at += 1) line[start + at] = HEX[(value >>> (28 - 4 * at)) & 15] as number;
}

/** One line: stamp, members, and last the CRC-32 of all bytes before it, so that torn and altered are told apart. */
export function lineOf(seq: number, id: string, time: string, text: string): Buffer {
  const line = Buffer.from(`{"v":1,"seq":${seq},"id":"${id}","time":"${time}"${text}${UNCHECKED}\n`);
  const body = line.subarray(0, line.length - CHECKSUM_BYTES - 1);
  putHex(line, line.length - DIGITS, crc32(body));
  return line;
}

/** True if the bytes, without the newline, are a line as `lineOf` made it. */
export function isIntact(bytes: Buffer): boolean {
  const end = bytes.length - CHECKSUM_BYTES;
  if (end <= 0) return false;
  const [, digits] = CHECKSUM.exec(bytes.toString("latin1", end)) ?? [];
  return digits !== undefined && Number.parseInt(digits, 16) === crc32(bytes.subarray(0, end));
}

/** The record in an intact line, without its checksum; null if it is not one of ours. */
export function recordIn(bytes: Buffer): LineRecord | null {
  if (!isIntact(bytes)) return null;
  try {
    const parsed: unknown = JSON.parse(`${bytes.toString("utf8", 0, bytes.length - CHECKSUM_BYTES)}}`);
    return isJsonObject(parsed) && parsed.v === 1 ? (parsed as unknown as LineRecord) : null;
  } catch {
    return null;
  }
}
