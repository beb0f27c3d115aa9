import type { DecisionEntry, DecisionLog } from "../domain.ts";
import type { Clock } from "../lib/clock.ts";

/** Most individual records a second, whatever the number of sources. */
const INDIVIDUAL = 64;
/** Most sources counted apart in a second; what comes from others is counted together, with client_ip "". */
const SOURCES = 256;
const SECOND_MS = 1000;

interface Tally {
  seen: number;
  /** Not recorded yet: the first of them, and how many. */
  sample: DecisionEntry | null;
  count: number;
}

export interface RefusalCounter {
  /**
   * Records a refusal that anybody could cause without a valid token.
   * Resolves when its own record is durable, or at once when it is only counted.
   */
  refuse(entry: DecisionEntry): Promise<void>;
  /** Records what was only counted so far. */
  close(): Promise<void>;
}

/**
 * Keeps strangers from filling the disk: of each (client_ip, code) in each second of the clock the first `individually`
 * are recorded as they are, the others in one record with their `count` when the second is over.
 */
export function createRefusalCounter(options: {
  readonly decisions: DecisionLog;
  readonly clock: Clock;
  readonly individually: number;
}): RefusalCounter {
  const { decisions, clock, individually } = options;
  const tallies = new Map<string, Tally>();
  let second = 0;
  let recorded = 0;
  let timer: NodeJS.Timeout | undefined;

  async function flush(): Promise<void> {
    clearTimeout(timer);
    timer = undefined;
    recorded = 0;
    const records: Promise<void>[] = [];
    for (const { sample, count } of tallies.values()) {
      if (sample === null) continue;
      records.push(decisions.decision(decisions.newId(), count > 1 ? { ...sample, count } : sample));
    }
    tallies.clear();
    await Promise.all(records);
  }

  /** Counted refusals were answered already: the log itself reports that it cannot be written. */
  const flushLater = () => void flush().catch(() => {});

  function tallyOf(entry: DecisionEntry): { tally: Tally; known: boolean } {
    const key = JSON.stringify([entry.client_ip, entry.code]);
    const known = tallies.has(key) || tallies.size < SOURCES;
    const slot = known ? key : JSON.stringify(["", entry.code]);
    const tally = tallies.get(slot) ?? { seen: 0, sample: null, count: 0 };
    tallies.set(slot, tally);
    return { tally, known };
  }

  return {
    async refuse(entry) {
      const now = Math.floor(clock() / SECOND_MS);
      if (now !== second) flushLater();
      second = now;
      const { tally, known } = tallyOf(entry);
      tally.seen += 1;
      if (known && tally.seen <= individually && recorded < INDIVIDUAL) {
        recorded += 1;
        return decisions.decision(decisions.newId(), entry);
      }
      if (!decisions.healthy) return decisions.decision(decisions.newId(), entry);
      tally.sample ??= known ? entry : { ...entry, client_ip: "" };
      tally.count += 1;
      timer ??= setTimeout(flushLater, SECOND_MS).unref();
    },
    close: flush,
  };
}
