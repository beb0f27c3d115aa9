import { Worker } from "node:worker_threads";
import { PortcullisError } from "../lib/errors.ts";
import type { Log } from "../lib/log.ts";
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
  let running: Worker | undefined;
  let idle: NodeJS.Timeout | undefined;
  let queue: Promise<unknown> = Promise.resolve();
  let closed = false;

  async function end(): Promise<void> {
    clearTimeout(idle);
    const ended = running;
    running = undefined;
    await ended?.terminate();
  }

  /** One that dies between two questions ends the thread, not the process, and the next question starts another. */
  function gone(worker: Worker): void {
    if (running === worker) running = undefined;
  }

  async function answer(wanted: Wanted): Promise<Prepared> {
    if (closed) throw new PortcullisError("internal", { reason: "the thread of policies is closed" });
    clearTimeout(idle);
    running ??= start(bundles, log, gone);
    try {
      return await exchange(running, wanted);
    } catch (thrown) {
      await end();
      throw thrown;
    } finally {
      idle = setTimeout(end, IDLE_MS).unref();
    }
  }

  return {
    prepare(wanted) {
      const turn = queue.then(() => answer(wanted));
      queue = turn.catch(() => undefined);
      return turn;
    },
    async close() {
      closed = true;
      await end();
    },
  };
}

function start(bundles: Bundles, log: Log, gone: (worker: Worker) => void): Worker {
  const resourceLimits = { maxOldGenerationSizeMb: MEMORY_MB };
  const worker = new Worker(WORKER, { workerData: bundles, env: {}, execArgv: [], resourceLimits });
  worker.on("message", (told: Told) => {
    if (told.kind === "log") log[told.level](told.fields, told.message);
  });
  worker.on("error", () => gone(worker)).on("exit", () => gone(worker));
  worker.unref();
  return worker;
}

/** Asks, and waits for the answer, the thread's end, or the deadline. */
function exchange(worker: Worker, wanted: Wanted): Promise<Prepared> {
  return new Promise((resolve, reject) => {
    const fail = (reason: string) => {
      settle();
      reject(new Error(`policies could not be prepared: ${reason}`));
    };
    const deadline = setTimeout(() => fail(`not within ${DEADLINE_MS} ms`), DEADLINE_MS);
    const onMessage = (told: Told) => {
      if (told.kind !== "prepared") return;
      settle();
      resolve(told.prepared);
    };
    const onError = (error: Error) => fail(error.message);
    const onExit = () => fail("their thread ended");
    function settle(): void {
      clearTimeout(deadline);
      worker.off("message", onMessage).off("error", onError).off("exit", onExit);
      worker.unref();
    }
    worker.ref();
    worker.on("message", onMessage).on("error", onError).on("exit", onExit);
    worker.postMessage(wanted);
  });
}
