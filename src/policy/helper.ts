import type { EventEmitter } from "node:events";
import { PortcullisError } from "../lib/errors.ts";

/** A process or a thread that answers. */
export interface Peer<Question> {
  /** Emits `message`, `error` and `exit`. */
  readonly events: EventEmitter;
  send(question: Question): void;
  /** Whether it keeps this process alive. */
  hold(held: boolean): void;
  end(): unknown;
}

/** The one peer: started when asked, asked one thing at a time, ended when idle, replaced after all but an answer. */
export interface Helper<Question, Answer> {
  /** @throws HelperFailure; PortcullisError `internal` after `close` */
  ask(question: Question, deadlineMs: number): Promise<Answer>;
  close(): Promise<void>;
}

export interface HelperOptions<Question, Answer> {
  readonly name: string;
  start(): Peer<Question>;
  /** undefined: a message that is no answer. */
  answerIn(message: unknown): Answer | undefined;
  /** Whether it is to be replaced after this answer. */
  isSpent?(answer: Answer): boolean;
  readonly idleMs: number;
}

/** No answer. */
export class HelperFailure extends Error {}
/** It took too long, and was cut. */
export class HelperTimeout extends HelperFailure {}

export function createHelper<Question, Answer>(
  options: HelperOptions<Question, Answer>,
): Helper<Question, Answer> {
  const { name, isSpent = () => false, idleMs } = options;
  let running: Peer<Question> | undefined;
  let idle: NodeJS.Timeout | undefined;
  let queue: Promise<unknown> = Promise.resolve();
  let closed = false;

  function start(): Peer<Question> {
    const peer = options.start();
    // Whatever happens between two questions ends the peer, not this process, and the next question starts another.
    peer.events
      .on("error", () => undefined)
      .on("exit", () => {
        if (running === peer) running = undefined;
      });
    peer.hold(false);
    return peer;
  }

  async function end(): Promise<void> {
    clearTimeout(idle);
    const ended = running;
    running = undefined;
    await ended?.end();
  }

  async function answer(question: Question, deadlineMs: number): Promise<Answer> {
    if (closed) throw new PortcullisError("internal", { reason: `${name} is closed` });
    clearTimeout(idle);
    running ??= start();
    try {
      const told = await exchange(running, question, deadlineMs, options);
      if (isSpent(told)) await end();
      else idle = setTimeout(end, idleMs).unref();
      return told;
    } catch (thrown) {
      await end();
      throw thrown;
    }
  }

  return {
    ask(question, deadlineMs) {
      const turn = queue.then(() => answer(question, deadlineMs));
      queue = turn.catch(() => undefined);
      return turn;
    },
    async close() {
      closed = true;
      await end();
    },
  };
}

/** Asks, and waits for the answer, the peer's end, or the deadline. */
function exchange<Question, Answer>(
  { events, send, hold }: Peer<Question>,
  question: Question,
  deadlineMs: number,
  { name, answerIn }: Pick<HelperOptions<Question, Answer>, "name" | "answerIn">,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const fail = (failure: HelperFailure) => {
      settle();
      reject(failure);
    };
    const cut = () =>
      fail(new HelperTimeout(`${name} did not answer within ${deadlineMs} ms, so it was cut`));
    const deadline = setTimeout(cut, deadlineMs);
    const onMessage = (message: unknown) => {
      const answer = answerIn(message);
      if (answer === undefined) return;
      settle();
      resolve(answer);
    };
    const onError = (error: Error) => fail(new HelperFailure(error.message));
    const onExit = () => fail(new HelperFailure(`${name} ended before it answered`));
    function settle(): void {
      clearTimeout(deadline);
      events.off("message", onMessage).off("error", onError).off("exit", onExit);
      hold(false);
    }
    hold(true);
    events.on("message", onMessage).on("error", onError).on("exit", onExit);
    send(question);
  });
}
