import { open, rm, stat } from "node:fs/promises";
import type { DecisionEntry } from "../domain.ts";
import { type LineRecord, recordIn } from "./line.ts";
import { damaged, listSegments, type Segment, scan, syncDirectory } from "./segments.ts";

/** Where a log goes on. */
export interface Tail {
  /** To append to; null: begin a new one. */
  readonly segment: Segment | null;
  /** Size of that segment. */
  readonly bytes: number;
  /** The next record's seq. */
  readonly seq: number;
  /** Allowed decisions that have no outcome. */
  readonly open: Set<string>;
  /** Digests of the inputs that the segment holds. */
  readonly inputs: ReadonlySet<string>;
  /** Length of the line that was dropped because its write never finished. */
  readonly torn: number;
}

/** An allowed decision about a target was forwarded, so an outcome follows it; a question's is that of its call. */
export function awaitsOutcome({ effect, target, within }: DecisionEntry): boolean {
  return effect === "allow" && target !== null && within === undefined;
}

/** Keeps `open` as the decisions without an outcome after this record. */
export function track(open: Set<string>, record: LineRecord): void {
  if (record.phase === "segment") {
    for (const id of record.open) open.add(id);
  } else if (record.phase === "outcome") {
    open.delete(record.decision);
  } else if (record.phase === "decision" && awaitsOutcome(record)) {
    open.add(record.id);
  }
}

/** Checks the last segment whole and the others' order, and drops a torn tail; refuses a log that is damaged. */
export async function recover(directory: string): Promise<Tail> {
  const segments = await listSegments(directory);
  const last = segments.at(-1);
  if (last === undefined)
    return { segment: null, bytes: 0, seq: 1, open: new Set(), inputs: new Set(), torn: 0 };
  await checkOrder(segments);
  const { seq, open, inputs, torn } = await readLast(last);
  if (torn) await truncate(last, torn.offset);
  if (seq === last.first) {
    // It broke off while this segment began: go on in the one before.
    await rm(last.path);
    await syncDirectory(directory);
    const before = segments.length > 1 ? await recover(directory) : null;
    return before ?? { segment: null, bytes: 0, seq, open, inputs, torn: torn?.bytes ?? 0 };
  }
  const { size } = await stat(last.path);
  return { segment: last, bytes: size, seq, open, inputs, torn: torn?.bytes ?? 0 };
}

async function readLast(segment: Segment) {
  const open = new Set<string>();
  const inputs = new Set<string>();
  let seq = segment.first;
  let torn: { readonly offset: number; readonly bytes: number } | null = null;
  for await (const found of scan(segment)) {
    if (found.kind === "fault") throw damaged(segment, found);
    if (found.kind === "torn") {
      torn = found;
    } else {
      track(open, found.record);
      if (found.record.phase === "input") inputs.add(found.record.sha256);
      seq += 1;
    }
  }
  return { seq, open, inputs, torn };
}

/** Each segment before the last ends with the record before the next one's first. */
async function checkOrder(segments: readonly Segment[]): Promise<void> {
  for (const [index, next] of segments.entries()) {
    const segment = segments[index - 1];
    if (segment === undefined) continue;
    const { bytes, offset } = await lastLine(segment);
    const last = next.first - 1;
    if (recordIn(bytes)?.seq !== last)
      throw damaged(segment, {
        row: last - segment.first + 1,
        offset,
        reason: `record ${last} is not its last line`,
      });
  }
}

/** The bytes behind the last newline but one, without the last newline; nothing if the file ends otherwise. */
async function lastLine(segment: Segment): Promise<{ bytes: Buffer; offset: number }> {
  const file = await open(segment.path, "r");
  try {
    const { size } = await file.stat();
    for (let length = 1 << 16; ; length *= 4) {
      const start = Math.max(0, size - length);
      const bytes = Buffer.alloc(size - start);
      await file.read(bytes, 0, bytes.length, start);
      const begin = bytes.lastIndexOf(10, -2) + 1;
      if (begin === 0 && start > 0) continue;
      const end = bytes.at(-1) === 10 ? -1 : begin;
      return { bytes: bytes.subarray(begin, end), offset: start + begin };
    }
  } finally {
    await file.close();
  }
}

async function truncate(segment: Segment, size: number): Promise<void> {
  const file = await open(segment.path, "r+");
  try {
    await file.truncate(size);
    await file.sync();
  } finally {
    await file.close();
  }
}
