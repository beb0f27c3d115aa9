import { basename } from "node:path";
import type { LogRecord } from "./line.ts";
import { track } from "./recover.ts";
import { damaged, listSegments, scan } from "./segments.ts";

/**
 * The records of a log directory in the order of seq; the log may be in use.
 * @param options.from the first seq wanted
 * @throws PortcullisError `audit_unavailable` at a damaged line
 */
export async function* readLog(
  path: string,
  options: { readonly from?: number; readonly filter?: (record: LogRecord) => boolean } = {},
): AsyncGenerator<LogRecord> {
  const { from = 0, filter = () => true } = options;
  const segments = await listSegments(path);
  const start = Math.max(
    0,
    segments.findLastIndex((segment) => segment.first <= from),
  );
  for (const segment of segments.slice(start)) {
    for await (const found of scan(segment)) {
      if (found.kind === "fault") throw damaged(segment, found.offset, found.reason);
      if (found.kind !== "record") break;
      const { record } = found;
      if (record.phase !== "segment" && record.seq >= from && filter(record)) yield record;
    }
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
  | { readonly ok: false; readonly file: string; readonly offset: number; readonly reason: string };

/** Checks every line of every segment. */
export async function verifyLog(path: string): Promise<Verification> {
  const segments = await listSegments(path);
  const open = new Set<string>();
  const first = segments[0]?.first ?? 0;
  let seq = first;
  let torn = 0;
  for (const segment of segments) {
    const fault = (offset: number, reason: string): Verification => ({
      ok: false,
      file: basename(segment.path),
      offset,
      reason,
    });
    if (segment.first !== seq) return fault(0, `seq ${seq} expected`);
    for await (const found of scan(segment)) {
      if (found.kind === "fault") return fault(found.offset, found.reason);
      if (found.kind === "record") {
        track(open, found.record);
        seq += 1;
      } else if (segment === segments.at(-1)) {
        torn = found.bytes;
      } else {
        return fault(found.offset, "the segment ends within a line");
      }
    }
  }
  return { ok: true, segments: segments.length, first, last: Math.max(0, seq - 1), torn, open: [...open] };
}
