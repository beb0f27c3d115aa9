import { readFile } from "node:fs/promises";
import { setFlagsFromString } from "node:v8";
import { Worker } from "node:worker_threads";
import { PortcullisError } from "../lib/errors.ts";
import type { Problem } from "./toolchain-types.ts";

const WORKER = new URL("../../toolchain/worker.mjs", import.meta.url);
const WASM = new URL("../../toolchain/toolchain.wasm", import.meta.url);

/** Go's memory never shrinks: above this, the instance is replaced after its request. */
const MEMORY_LIMIT = 256 * 1024 * 1024;

/** One compiled module for the whole process, whatever number of clients and workers. */
let compiled: Promise<WebAssembly.Module> | undefined;

function compiledModule(): Promise<WebAssembly.Module> {
  compiled ??= readFile(WASM)
    .then((bytes) => WebAssembly.compile(bytes))
    .catch((cause: unknown) => {
      compiled = undefined;
      throw new PortcullisError("internal", {
        reason: "the Rego toolchain is not built: npm run setup",
        cause,
      });
    });
  return compiled;
}

type Answer =
  | { readonly ok: true; readonly text: string }
  | { readonly ok: false; readonly problem: Problem };

interface WorkerMessage {
  readonly response: Uint8Array;
  readonly memory: number;
}

export interface ToolchainWorker {
  /** Answers one request; requests wait for each other. */
  ask(request: string, deadlineMs: number, now: bigint | null): Promise<Answer>;
  close(): Promise<void>;
}

/**
 * The one worker: started when needed, ended when idle, replaced after anything but an ordinary answer.
 *
 * @param shortLived keeps V8 from optimising WebAssembly in this process: half the time to the first answer and half
 *   the memory, but a slow engine
 */
export function createToolchainWorker(idleMs: number, shortLived: boolean): ToolchainWorker {
  // The flag holds for the process: setting it for one module alone has no effect.
  if (shortLived) setFlagsFromString("--liftoff-only");
  let worker: Worker | undefined;
  let idle: NodeJS.Timeout | undefined;
  let queue: Promise<unknown> = Promise.resolve();
  let closed = false;

  async function end(): Promise<void> {
    clearTimeout(idle);
    const ending = worker;
    worker = undefined;
    await ending?.terminate();
  }

  async function start(): Promise<Worker> {
    const module = await compiledModule();
    const started = new Worker(WORKER, {
      workerData: { module },
      // Deep sources and data: OPA's own limits come before the end of this stack.
      resourceLimits: { stackSizeMb: 32 },
      env: {},
      stderr: true,
    });
    started.unref();
    return started;
  }

  async function answer(request: string, deadlineMs: number, now: bigint | null): Promise<Answer> {
    clearTimeout(idle);
    if (!closed) worker ??= await start();
    if (closed || !worker) {
      await end();
      throw new PortcullisError("internal", { reason: "the Rego toolchain is closed" });
    }
    const result = await exchange(worker, request, deadlineMs, now);
    if (!result.ok || result.memory > MEMORY_LIMIT) await end();
    else idle = setTimeout(() => void end(), idleMs).unref();
    return result;
  }

  return {
    ask(request, deadlineMs, now) {
      const turn = queue.then(() => answer(request, deadlineMs, now));
      queue = turn.catch(() => undefined);
      return turn;
    },
    async close() {
      closed = true;
      await end();
    },
  };
}

/** Posts one request and waits for its answer, the worker's end, or the deadline. The worker keeps the process alive meanwhile. */
function exchange(
  worker: Worker,
  request: string,
  deadlineMs: number,
  now: bigint | null,
): Promise<{ ok: true; text: string; memory: number } | { ok: false; problem: Problem }> {
  return new Promise((resolve) => {
    const fail = (code: string, message: string) => settle({ ok: false, problem: problem(code, message) });
    const deadline = setTimeout(
      () => fail("toolchain_timeout", `no answer within ${deadlineMs} ms, so it was cut`),
      deadlineMs,
    );
    const onMessage = ({ response, memory }: WorkerMessage) =>
      settle({ ok: true, text: Buffer.from(response).toString(), memory });
    const onError = (thrown: Error) => fail("toolchain_failed", thrown.message);
    const onExit = () => fail("toolchain_failed", "the toolchain ended before it answered");

    function settle(result: Parameters<typeof resolve>[0]): void {
      clearTimeout(deadline);
      worker.off("message", onMessage).off("error", onError).off("exit", onExit);
      worker.unref();
      // An error that comes after the answer ends the worker, not the process.
      worker.on("error", () => undefined);
      resolve(result);
    }

    worker.removeAllListeners("error");
    worker.on("message", onMessage).on("error", onError).on("exit", onExit);
    worker.ref();
    worker.postMessage({ request: Buffer.from(request), now });
  });
}

function problem(code: string, message: string): Problem {
  return { severity: "error", code, message, file: "", row: 0, col: 0 };
}
