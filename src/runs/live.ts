import type { Principal } from "../domain.ts";
import type { Clock } from "../lib/clock.ts";
import type { Log } from "../lib/log.ts";
import { Transients } from "../lib/transients.ts";
import type { Register } from "./register.ts";
import type { Run } from "./run.ts";

/** ended: by its user or an admin. unconfirmed: the store was away for too long to say. */
export type RunEnd = "ended" | "expired" | "unconfirmed";

/** Who bears a run's token: the same object as long as the run is the same. */
export interface RunBearer {
  readonly principal: Principal;
  /** Seconds since the epoch. */
  readonly expires: number;
}

/** A run that this replica has seen. */
export interface LiveRun {
  readonly run: Run;
  readonly bearer: RunBearer;
}

/** The runs that something may be held for here. That a run is known here is no proof that it is still under way. */
export interface LiveRuns {
  /** As the store says now; undefined: it is over, and was told so to all who listen. */
  look(id: string): Promise<LiveRun | undefined>;
  /** As it was last seen. */
  known(id: string): Run | undefined;
  end(id: string, why: RunEnd): void;
  onEnd(listener: (id: string, why: RunEnd) => void): () => void;
  close(): void;
}

interface Entry extends LiveRun {
  readonly text: string;
  /** When the store last said that it is under way; milliseconds since the epoch. */
  confirmed: number;
}

/** A message that a run ended may be lost: every run that is known here is looked up so often. */
const SWEEP_MS = 5_000;
/** What a run holds here goes when the store has been away for so long. */
const PATIENCE_MS = 30_000;

export function createLiveRuns(options: {
  readonly register: Register;
  readonly clock: Clock;
  readonly log: Log;
  readonly sweepMs?: number;
}): LiveRuns {
  const { register, clock, log, sweepMs = SWEEP_MS } = options;
  const entries = new Map<string, Entry>();
  const listeners = new Transients<(id: string, why: RunEnd) => void>();

  function end(id: string, why: RunEnd): void {
    if (!entries.delete(id)) return;
    for (const listener of listeners.values()) {
      try {
        listener(id, why);
      } catch (err) {
        // Nobody's failure may keep the others from ending what they hold.
        log.error({ err, run: id }, "what a run held could not be ended");
      }
    }
  }

  function admit(id: string, text: string): LiveRun | undefined {
    const known = entries.get(id);
    if (known?.text === text) {
      known.confirmed = clock();
      return known;
    }
    const run = register.open(id, text);
    if (run === undefined) return undefined;
    const bearer = { principal: run.principal, expires: run.expires };
    const entry = { run, bearer, text, confirmed: clock() };
    entries.set(id, entry);
    return entry;
  }

  async function look(id: string): Promise<LiveRun | undefined> {
    const text = await register.text(id);
    const found = text === undefined ? undefined : admit(id, text);
    if (found === undefined) end(id, "ended");
    return found;
  }

  async function sweep(): Promise<void> {
    for (const [id, entry] of [...entries]) {
      if (entry.run.expires * 1000 <= clock()) end(id, "expired");
      else
        await look(id).catch((err: unknown) => {
          log.debug({ err }, "a run could not be looked up");
          if (clock() - entry.confirmed > PATIENCE_MS) end(id, "unconfirmed");
        });
    }
  }

  let sweeping = false;
  const timer = setInterval(() => {
    if (sweeping) return;
    sweeping = true;
    void sweep().finally(() => {
      sweeping = false;
    });
  }, sweepMs).unref();

  return {
    look,
    known: (id) => entries.get(id)?.run,
    end,
    onEnd: (listener) => listeners.add(listener),
    close() {
      clearInterval(timer);
      entries.clear();
    },
  };
}
