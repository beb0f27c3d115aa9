import { Worker } from "node:worker_threads";
import type { Log } from "../lib/log.ts";
import { createHelper, type Peer } from "./helper.ts";
import type { Prepare, Prepared, Wanted } from "./preparation.ts";
import type { Bundles, Told } from "./preparer-worker.ts";

/** Only JavaScript can be a thread's first file, so that it is the built one also where the sources run. */
const WORKER = new URL("../../dist/policy/preparer-worker.js", import.meta.url);
/** 16 MiB of data take a few hundred. */
const MEMORY_MB = 1024;
const DEADLINE_MS = 90_000;
const IDLE_MS = 30_000;

export interface PreparerThread {
  /** One folder after the other: whatever one of them does to the thread is its own failure. */
  readonly prepare: Prepare;
  close(): Promise<void>;
}

/**
 * Prepares policies in a thread of its own. Who writes a tenant's files may be nobody that the operator trusts, and to
 * parse and load large data takes seconds in which this thread would serve no tenant.
 */
export function createPreparerThread(bundles: Bundles, log: Log): PreparerThread {
  const helper = createHelper<Wanted, Prepared>({
    name: "the thread that prepares policies",
    start: () => start(bundles, log),
    answerIn(message) {
      const told = message as Told;
      return told.kind === "prepared" ? told.prepared : undefined;
    },
    idleMs: IDLE_MS,
  });
  return {
    prepare: (wanted) => helper.ask(wanted, DEADLINE_MS),
    close: helper.close,
  };
}

function start(bundles: Bundles, log: Log): Peer<Wanted> {
  const resourceLimits = { maxOldGenerationSizeMb: MEMORY_MB };
  const worker = new Worker(WORKER, { workerData: bundles, env: {}, execArgv: [], resourceLimits });
  worker.on("message", (told: Told) => {
    if (told.kind === "log") log[told.level](told.fields, told.message);
  });
  return {
    events: worker,
    send: (wanted) => worker.postMessage(wanted),
    hold: (held) => (held ? worker.ref() : worker.unref()),
    end: () => worker.terminate(),
  };
}
