import { type ChildProcess, fork } from "node:child_process";
import { existsSync } from "node:fs";
import { PortcullisError } from "../lib/errors.ts";
import { problem } from "./problem.ts";
import type { Problem } from "./toolchain-types.ts";

const PROCESS = new URL("../../toolchain/process.mjs", import.meta.url);
export const TOOLCHAIN_WASM = new URL("../../toolchain/toolchain.wasm", import.meta.url);

/** Go's memory never shrinks: above this, the process is replaced after its request. */
const MEMORY_LIMIT = 256 * 1024 * 1024;

/** `memory`: bytes that the process holds by now. */
type Answer =
  | { readonly ok: true; readonly text: string; readonly memory: number }
  | { readonly ok: false; readonly problem: Problem };

type Message =
  | { readonly response: Uint8Array; readonly memory: number; readonly failed?: never }
  | { readonly failed: string };

export interface ToolchainProcess {
  /** Answers one request; requests wait for each other. */
  ask(request: string, deadlineMs: number, now: bigint | null): Promise<Answer>;
  close(): Promise<void>;
}

/** The one process: started when needed, ended when idle, replaced after anything but an ordinary answer. */
export function createToolchainProcess(idleMs: number): ToolchainProcess {
  let running: ChildProcess | undefined;
  let idle: NodeJS.Timeout | undefined;
  let queue: Promise<unknown> = Promise.resolve();
  let closed = false;

  function end(): void {
    clearTimeout(idle);
    running?.kill("SIGKILL");
    running = undefined;
  }

  async function answer(request: string, deadlineMs: number, now: bigint | null): Promise<Answer> {
    clearTimeout(idle);
    if (closed) throw new PortcullisError("internal", { reason: "the Rego toolchain is closed" });
    running ??= start();
    const result = await exchange(running, request, deadlineMs, now);
    if (!result.ok || result.memory > MEMORY_LIMIT) end();
    else idle = setTimeout(end, idleMs).unref();
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
      end();
    },
  };
}

function start(): ChildProcess {
  if (!existsSync(TOOLCHAIN_WASM)) {
    throw new PortcullisError("internal", { reason: "the Rego toolchain is not built: npm run setup" });
  }
  const child = fork(PROCESS, [], {
    execArgv: ["--liftoff-only"],
    serialization: "advanced",
    env: {},
    stdio: ["ignore", "ignore", "ignore", "ipc"],
  });
  // An error that comes after the answer ends that process, not this one.
  child.on("error", () => undefined);
  hold(child, false);
  return child;
}

/** Whether the process keeps this one alive: only while it is asked something. */
function hold(child: ChildProcess, held: boolean): void {
  if (held) child.ref();
  else child.unref();
  if (held) child.channel?.ref();
  else child.channel?.unref();
}

/** Sends one request and waits for its answer, the process's end, or the deadline. */
function exchange(
  child: ChildProcess,
  request: string,
  deadlineMs: number,
  now: bigint | null,
): Promise<Answer> {
  return new Promise((resolve) => {
    const fail = (code: string, message: string) => settle({ ok: false, problem: problem(code, message) });
    const deadline = setTimeout(
      () => fail("toolchain_timeout", `no answer within ${deadlineMs} ms, so it was cut`),
      deadlineMs,
    );
    const onMessage = (message: Message) => {
      if (message.failed !== undefined) fail("toolchain_failed", message.failed);
      else settle({ ok: true, text: Buffer.from(message.response).toString(), memory: message.memory });
    };
    const onError = (thrown: Error) => fail("toolchain_failed", thrown.message);
    const onExit = () => fail("toolchain_failed", "the toolchain ended before it answered");

    function settle(result: Answer): void {
      clearTimeout(deadline);
      child.off("message", onMessage).off("error", onError).off("exit", onExit);
      hold(child, false);
      resolve(result);
    }

    child.on("message", onMessage).on("error", onError).on("exit", onExit);
    hold(child, true);
    child.send({ request: Buffer.from(request), now }, (error) => error && onError(error));
  });
}
