import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import type { DecisionInputs, DecisionLog, LogEntry } from "../domain.ts";
import type { Clock } from "../lib/clock.ts";
import { messageOf, PortcullisError } from "../lib/errors.ts";
import { randomId } from "../lib/ids.ts";
import type { Log } from "../lib/log.ts";
import { createGroupCommit } from "./group.ts";
import { createInputs } from "./inputs.ts";
import { entryText, lineOf, segmentText } from "./line.ts";
import { acquireLock } from "./lock.ts";
import { awaitsOutcome, recover, type Tail } from "./recover.ts";
import { syncDirectory } from "./segments.ts";
import { createSegmentWriter, type SegmentWriter } from "./writer.ts";

export interface DecisionLogOptions {
  /** The directory of the segment files; made, with mode 0700, if it is not there. */
  readonly path: string;
  /** A segment that has reached this size is followed by a new one. */
  readonly segmentBytes: number;
  /** Above this many bytes not yet on disk, decisions are refused as `overloaded`. */
  readonly maxPendingBytes: number;
  readonly clock: Clock;
  readonly log: Log;
  /** Called once when the log cannot be written any more. The process should end. */
  readonly onFatal: (error: PortcullisError) => void;
}

/**
 * Opens the decision log in a directory: JSON lines in segment files, each line durable before its decision
 * resolves. Drops a torn last line, which was never acknowledged, and closes allowed decisions that have no outcome
 * with one of status `unknown`.
 * @throws PortcullisError `audit_unavailable`: in use by another process, damaged (its `reason` names file and
 *   byte), or not writable
 */
export async function openDecisionLog(options: DecisionLogOptions): Promise<DecisionLog> {
  const { path } = options;
  let release = () => {};
  try {
    await mkdir(path, { recursive: true, mode: 0o700 });
    await syncDirectory(dirname(path));
    release = acquireLock(path);
    const tail = await recover(path);
    const writer = await createSegmentWriter(path, tail.segment);
    const close = async () => {
      await writer.close();
      release();
    };
    const log = createDecisionLog(options, tail, writer, close);
    await log.closeOrphans().catch((error) => writer.close().then(() => Promise.reject(error)));
    return log;
  } catch (error) {
    release();
    if (error instanceof PortcullisError) throw error;
    throw new PortcullisError("audit_unavailable", {
      reason: `the decision log in ${path} cannot be opened: ${messageOf(error)}`,
      cause: error,
    });
  }
}

function createDecisionLog(
  options: DecisionLogOptions,
  tail: Tail,
  writer: SegmentWriter,
  release: () => Promise<void>,
): DecisionLog & { closeOrphans(): Promise<void> } {
  const { segmentBytes, maxPendingBytes, clock, log, onFatal } = options;
  const { open } = tail;
  const now = createTimestamp(clock);
  const inputs = createInputs(tail.inputs);
  const group = createGroupCommit({
    begin: writer.begin,
    write: writer.write,
    onFailure(error) {
      log.error({ err: error }, "the decision log failed: nothing is served any more");
      onFatal(error);
    },
  });
  let seq = tail.seq;
  // Bytes of the current segment; a new log begins with a new segment.
  let size = tail.segment === null ? segmentBytes : tail.bytes;
  let closed: Promise<void> | null = null;

  function line(id: string, text: string): Buffer {
    const made = lineOf(seq, id, now(), text);
    seq += 1;
    size += made.length;
    return made;
  }

  /** A line that goes to disk no later than the next one. */
  function before(text: string): void {
    group.addLater(line(randomId(), text));
  }

  /** The entry's line, after whatever has to stand before it. */
  function lineFor(id: string, entry: LogEntry, seen: DecisionInputs = {}): Buffer {
    const text = entryText(entry);
    const begins = size >= segmentBytes;
    if (begins) inputs.clear();
    const unsaid = entry.phase === "decision" ? inputs.missing(entry, seen) : [];
    if (begins) {
      group.cut(seq);
      size = 0;
      // Recovery reads the last segment alone, so it carries over what is still open.
      before(segmentText(open));
    }
    for (const input of unsaid) before(input);
    if (entry.phase === "outcome") open.delete(entry.decision);
    else if (entry.phase === "decision" && awaitsOutcome(entry)) open.add(id);
    return line(id, text);
  }

  function append(entry: LogEntry): void {
    if (group.failure !== null || closed !== null) return;
    group.addLater(lineFor(randomId(), entry));
  }

  const unavailable = (reason: string, cause?: unknown) =>
    new PortcullisError("audit_unavailable", { reason, cause });

  function durably(id: string, entry: LogEntry, seen?: DecisionInputs): Promise<void> {
    if (group.failure !== null) return Promise.reject(group.failure);
    if (closed !== null) return Promise.reject(unavailable("the decision log is closed"));
    if (group.pending >= maxPendingBytes) {
      const reason = "too many decisions wait for the disk";
      return Promise.reject(new PortcullisError("overloaded", { reason }));
    }
    try {
      return group.add(lineFor(id, entry, seen));
    } catch (error) {
      return Promise.reject(unavailable("the decision cannot be written as JSON", error));
    }
  }

  return {
    newId: randomId,
    decision: durably,
    operator: (entry) => durably(randomId(), entry),
    outcome: append,
    async lease(entry) {
      if (entry.event !== "minted") return append(entry);
      if (group.failure !== null) throw group.failure;
      if (closed !== null) throw unavailable("the decision log is closed");
      return group.add(lineFor(randomId(), entry));
    },
    get healthy() {
      return group.failure === null && closed === null;
    },
    async closeOrphans() {
      if (tail.torn > 0) log.warn({ bytes: tail.torn }, "dropped a line that was never acknowledged");
      if (open.size === 0) return;
      log.warn({ decisions: open.size }, "closed decisions without an outcome as unknown");
      const orphan = {
        phase: "outcome",
        status: "unknown",
        is_error: true,
        ms: 0,
        bytes: 0,
        lease_sha256: null,
      } as const;
      await Promise.all([...open].map((decision) => group.add(lineFor(randomId(), { ...orphan, decision }))));
    },
    close() {
      closed ??= group.drained().then(release);
      return closed;
    },
  };
}

/** The clock as RFC 3339 text, formatted once per millisecond. */
function createTimestamp(clock: Clock): () => string {
  let last = Number.NaN;
  let text = "";
  return () => {
    const now = clock();
    if (now !== last) {
      last = now;
      text = new Date(now).toISOString();
    }
    return text;
  };
}
