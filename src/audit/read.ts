import { basename } from "node:path";
import type { JsonObject } from "../lib/json.ts";
import type { DecisionRecord, LineRecord, LogRecord } from "./line.ts";
import { track } from "./recover.ts";
import { damaged, type Fault, listSegments, type Segment, scan } from "./segments.ts";

/**
 * The decisions, outcomes, leases and operators' acts of a log directory in the order of seq; the log may be in use.
 * @param options.from the first seq wanted
 * @throws PortcullisError `audit_unavailable` at a damaged line
 */
export async function* readLog(
  path: string,
  options: { readonly from?: number; readonly filter?: (record: LogRecord) => boolean } = {},
): AsyncGenerator<LogRecord> {
  const { from = 0, filter = () => true } = options;
  for (const segment of await segmentsFrom(path, from)) {
    for await (const record of recordsOf(segment)) {
      if (record.phase === "segment" || record.phase === "input" || record.seq < from) continue;
      if (filter(record)) yield record;
    }
  }
}

/** A decision with what it was made on: enough to make it again, with the policies of its `revision`. */
export interface Decided {
  readonly record: DecisionRecord;
  /** undefined: the record names none. */
  readonly tenant?: JsonObject;
  readonly target?: JsonObject;
  readonly matched: readonly JsonObject[];
}

/** The decisions of a log directory, each with its inputs, which stand in its own segment. @throws like `readLog` */
export async function* readDecided(
  path: string,
  options: { readonly from?: number } = {},
): AsyncGenerator<Decided> {
  const { from = 0 } = options;
  for (const segment of await segmentsFrom(path, from)) {
    const inputs = new Map<string, JsonObject>();
    for await (const record of recordsOf(segment)) {
      if (record.phase === "input") inputs.set(record.sha256, record.value);
      if (record.phase === "decision" && record.seq >= from) yield decided(record, inputs);
    }
  }
}

function decided(record: DecisionRecord, inputs: ReadonlyMap<string, JsonObject>): Decided {
  const { tenant_sha256 = "", target_sha256 = "", matched_sha256 = [] } = record;
  const tenant = inputs.get(tenant_sha256);
  const target = inputs.get(target_sha256);
  const matched = matched_sha256.map((sha256) => inputs.get(sha256));
  return {
    record,
    ...(tenant && { tenant }),
    ...(target && { target }),
    matched: matched.filter((one) => one !== undefined),
  };
}

async function segmentsFrom(path: string, from: number): Promise<readonly Segment[]> {
  const segments = await listSegments(path);
  const start = segments.findLastIndex((segment) => segment.first <= from);
  return segments.slice(Math.max(0, start));
}

async function* recordsOf(segment: Segment): AsyncGenerator<LineRecord> {
  for await (const found of scan(segment)) {
    if (found.kind === "fault") throw damaged(segment, found);
    if (found.kind !== "record") return;
    yield found.record;
  }
}

export type Verification =
  | {
      readonly ok: true;
      readonly segments: number;
      /** First and last seq; 0 and 0 for an empty log. */
      readonly first: number;
      readonly last: number;
      /** Length of an unfinished last line. */
      readonly torn: number;
      /** Ids of allowed decisions without an outcome. */
      readonly open: readonly string[];
    }
  | ({ readonly ok: false; readonly file: string } & Fault);

/** Checks every line of every segment. */
export async function verifyLog(path: string): Promise<Verification> {
  const segments = await listSegments(path);
  const open = new Set<string>();
  const first = segments[0]?.first ?? 0;
  let seq = first;
  let torn = 0;
  for (const segment of segments) {
    const fault = ({ row, offset, reason }: Fault): Verification => ({
      ok: false,
      file: basename(segment.path),
      row,
      offset,
      reason,
    });
    if (segment.first !== seq)
      return fault({
        row: 1,
        offset: 0,
        reason: `record ${segment.first} stands where record ${seq} belongs`,
      });
    for await (const found of scan(segment)) {
      if (found.kind === "fault") return fault(found);
      if (found.kind === "record") {
        track(open, found.record);
        seq += 1;
      } else if (segment === segments.at(-1)) {
        torn = found.bytes;
      } else {
        const reason = "the segment ends within a line";
        return fault({ row: seq - segment.first + 1, offset: found.offset, reason });
      }
    }
  }
  return { ok: true, segments: segments.length, first, last: Math.max(0, seq - 1), torn, open: [...open] };
}
