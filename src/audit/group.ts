import { PortcullisError } from "../lib/errors.ts";

const LATER_MS = 20;
/** Turns of the event loop that a group waits for others to join it. */
const MOST_TURNS = 8;

/** Lines that reach the disk together, in one write. */
interface Group {
  /** The segment that begins with this group. */
  readonly begins: number | null;
  readonly lines: Buffer[];
  bytes: number;
  readonly durable: Promise<void>;
  readonly resolve: () => void;
  readonly reject: (error: PortcullisError) => void;
}

function createGroup(begins: number | null): Group {
  let resolve = () => {};
  let reject: (error: PortcullisError) => void = () => {};
  const durable = new Promise<void>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  // Nobody may be waiting: a group of outcomes alone.
  durable.catch(() => {});
  return { begins, lines: [], bytes: 0, durable, resolve, reject };
}

export interface GroupCommit {
  /** Adds a line to the group that forms; resolves when that group is on disk. */
  add(line: Buffer): Promise<void>;
  /** The same for a line that nobody waits for: it goes with the next group, or alone after 20 ms. */
  addLater(line: Buffer): void;
  /** The lines from here on go to a new segment. */
  cut(first: number): void;
  /** Bytes that are not on disk yet. */
  readonly pending: number;
  /** Set once a write has failed: nothing is written afterwards. */
  readonly failure: PortcullisError | null;
  /** Resolves when nothing is pending, also after a failure. */
  drained(): Promise<void>;
}

/**
 * Group commit: while one group is being written the next one forms. A failed write is never retried: what the
 * kernel kept of it is unknown (after a failed fsync a second one can report success for lost pages).
 */
export function createGroupCommit(options: {
  readonly begin: (first: number) => Promise<void>;
  /** Resolves when the bytes are durable. */
  readonly write: (bytes: Buffer) => Promise<void>;
  readonly onFailure: (error: PortcullisError) => void;
}): GroupCommit {
  const { begin, write, onFailure } = options;
  const queue: Group[] = [];
  let pending = 0;
  let failure: PortcullisError | null = null;
  let running: Promise<void> | null = null;
  let timer: NodeJS.Timeout | undefined;

  async function commit(group: Group): Promise<void> {
    if (group.begins !== null) await begin(group.begins);
    if (group.lines.length > 0) await write(Buffer.concat(group.lines, group.bytes));
    pending -= group.bytes;
    group.resolve();
  }

  function fail(cause: unknown, group: Group): void {
    failure = new PortcullisError("audit_unavailable", {
      reason: "the decision log cannot be written",
      cause,
    });
    for (const lost of [group, ...queue.splice(0)]) lost.reject(failure);
    onFailure(failure);
  }

  /** A write costs as much as a call: as long as each turn of the event loop brings more lines, they go together. */
  async function gather(): Promise<void> {
    let gathered = 0;
    for (let turn = 0; turn < MOST_TURNS; turn += 1) {
      const lines = queue[0]?.lines.length ?? 0;
      if (lines === gathered) return;
      gathered = lines;
      await new Promise<void>((next) => setImmediate(next));
    }
  }

  async function run(): Promise<void> {
    await gather();
    for (let group = queue.shift(); group !== undefined; group = queue.shift()) {
      try {
        await commit(group);
      } catch (cause) {
        fail(cause, group);
      }
      await gather();
    }
    running = null;
  }

  function start(): void {
    clearTimeout(timer);
    timer = undefined;
    running ??= run();
  }

  function put(line: Buffer): Group {
    const group = queue.at(-1) ?? createGroup(null);
    if (queue.length === 0) queue.push(group);
    group.lines.push(line);
    group.bytes += line.length;
    pending += line.length;
    return group;
  }

  return {
    add(line) {
      if (failure !== null) return Promise.reject(failure);
      const group = put(line);
      start();
      return group.durable;
    },
    addLater(line) {
      if (failure !== null) return;
      put(line);
      timer ??= setTimeout(start, LATER_MS).unref();
    },
    cut(first) {
      queue.push(createGroup(first));
    },
    get pending() {
      return pending;
    },
    get failure() {
      return failure;
    },
    async drained() {
      start();
      await running;
    },
  };
}
