import { fork } from "node:child_process";
import { existsSync } from "node:fs";
import { PortcullisError } from "../lib/errors.ts";
import { createHelper, HelperFailure, HelperTimeout, type Peer } from "./helper.ts";
import { problem } from "./problem.ts";
import type { Problem } from "./toolchain-types.ts";

const PROCESS = new URL("../../toolchain/process.mjs", import.meta.url);
export const TOOLCHAIN_WASM = new URL("../../toolchain/toolchain.wasm", import.meta.url);

/** Go's memory never shrinks: above this, the process is replaced after its request. */
const MEMORY_LIMIT = 256 * 1024 * 1024;

interface Question {
  readonly request: Buffer;
  readonly now: bigint | null;
}

/** `memory`: bytes that the process holds by now. */
type Message =
  | { readonly response: Uint8Array; readonly memory: number; readonly failed?: never }
  | { readonly failed: string };

type Answer =
  | { readonly ok: true; readonly text: string }
  | { readonly ok: false; readonly problem: Problem };

export interface ToolchainProcess {
  /** Answers one request; requests wait for each other. */
  ask(request: string, deadlineMs: number, now: bigint | null): Promise<Answer>;
  close(): Promise<void>;
}

export function createToolchainProcess(idleMs: number): ToolchainProcess {
  const helper = createHelper<Question, Message>({
    name: "the Rego toolchain",
    start,
    answerIn: (message) => message as Message,
    isSpent: (message) => message.failed !== undefined || message.memory > MEMORY_LIMIT,
    idleMs,
  });
  return {
    ask: (request, deadlineMs, now) =>
      helper.ask({ request: Buffer.from(request), now }, deadlineMs).then(answerOf, failureOf),
    close: helper.close,
  };
}

function answerOf(message: Message): Answer {
  if (message.failed !== undefined)
    return { ok: false, problem: problem("toolchain_failed", message.failed) };
  return { ok: true, text: Buffer.from(message.response).toString() };
}

function failureOf(thrown: unknown): Answer {
  if (!(thrown instanceof HelperFailure)) throw thrown;
  const code = thrown instanceof HelperTimeout ? "toolchain_timeout" : "toolchain_failed";
  return { ok: false, problem: problem(code, thrown.message) };
}

function start(): Peer<Question> {
  if (!existsSync(TOOLCHAIN_WASM)) {
    throw new PortcullisError("internal", { reason: "the Rego toolchain is not built: npm run setup" });
  }
  const child = fork(PROCESS, [], {
    execArgv: ["--liftoff-only"],
    serialization: "advanced",
    env: {},
    stdio: ["ignore", "ignore", "ignore", "ipc"],
  });
  return {
    events: child,
    send: (question) => child.send(question),
    hold(held) {
      for (const one of [child, child.channel]) {
        if (held) one?.ref();
        else one?.unref();
      }
    },
    end: () => child.kill("SIGKILL"),
  };
}
