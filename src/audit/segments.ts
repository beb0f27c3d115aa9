import { createReadStream } from "node:fs";
import { open, readdir } from "node:fs/promises";
import { basename, join } from "node:path";
import { PortcullisError } from "../lib/errors.ts";
import { isIntact, type LineRecord, recordIn } from "./line.ts";

/** One file of the log, named by the seq of its first record. */
export interface Segment {
  readonly path: string;
  readonly first: number;
}

const NAME = /^(\d{12})\.jsonl$/;

export function segmentAt(directory: string, first: number): Segment {
  return { path: join(directory, `${String(first).padStart(12, "0")}.jsonl`), first };
}

/** In the order of seq. */
export async function listSegments(directory: string): Promise<Segment[]> {
  const names = (await readdir(directory)).filter((name) => NAME.test(name)).sort();
  return names.map((name) => segmentAt(directory, Number(name.slice(0, 12))));
}

/** A new name is not durable before its directory is. */
export async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

interface Line {
  readonly bytes: Buffer;
  readonly offset: number;
  /** It ended with a newline. */
  readonly whole: boolean;
}

async function* linesOf(path: string): AsyncGenerator<Line> {
  let rest: Buffer = Buffer.alloc(0);
  let offset = 0;
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) {
    const bytes: Buffer = Buffer.concat([rest, chunk as Buffer]);
    let start = 0;
    for (let end = bytes.indexOf(10); end !== -1; end = bytes.indexOf(10, start)) {
      yield { bytes: bytes.subarray(start, end), offset, whole: true };
      offset += end + 1 - start;
      start = end + 1;
    }
    rest = bytes.subarray(start);
  }
  if (rest.length > 0) yield { bytes: rest, offset, whole: false };
}

export type Found =
  | { readonly kind: "record"; readonly record: LineRecord }
  /** The file ends within a line: it was never acknowledged. */
  | { readonly kind: "torn"; readonly offset: number; readonly bytes: number }
  | ({ readonly kind: "fault" } & Fault);

/** Where a segment is not as it was written, and what is wrong there. */
export interface Fault {
  /** Of the line, from 1. */
  readonly row: number;
  /** Where it begins, in bytes. */
  readonly offset: number;
  readonly reason: string;
}

/** Every record of a segment, each line's checksum and seq checked; ends with the first `torn` or `fault`. */
export async function* scan(segment: Segment): AsyncGenerator<Found> {
  let seq = segment.first;
  for await (const { bytes, offset, whole } of linesOf(segment.path)) {
    const row = seq - segment.first + 1;
    if (!whole) {
      // One byte behind a good line is its newline, altered: that line may have been acknowledged.
      const altered = isIntact(bytes.subarray(0, -1));
      yield altered
        ? { kind: "fault", row, offset, reason: "the last line's end was altered" }
        : { kind: "torn", offset, bytes: bytes.length };
      return;
    }
    const record = recordIn(bytes);
    if (record === null || record.seq !== seq) {
      const reason =
        record === null
          ? "the line does not match its checksum"
          : `record ${record.seq} stands where record ${seq} belongs`;
      yield { kind: "fault", row, offset, reason };
      return;
    }
    yield { kind: "record", record };
    seq += 1;
  }
}

/** Refuses the log, naming file, line and byte. */
export function damaged(segment: Segment, fault: Fault): PortcullisError {
  return new PortcullisError("audit_unavailable", {
    reason: `the decision log is damaged: ${placed(basename(segment.path), fault)}`,
  });
}

/** `000000000001.jsonl:12: byte 16647: …` */
export function placed(file: string, { row, offset, reason }: Fault): string {
  return `${file}:${row}: byte ${offset}: ${reason}`;
}
