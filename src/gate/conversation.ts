import type { ClientAnswer, Question } from "../domain.ts";
import type { Cancellable } from "../lib/cancellation.ts";
import { PortcullisError, toPortcullisError } from "../lib/errors.ts";
import type { JsonObject } from "../lib/json.ts";
import type { Turn } from "./turn.ts";

type Notify = (method: string, params: string) => void;

/** Who listens to a conversation right now: one request of the client. */
export interface Listener {
  readonly notify: Notify;
  /** Aborts when that request's client goes away: then the work ends too. */
  readonly signal: Cancellable;
}

/**
 * A call whose upstream asks questions while it answers, led by a client that is only ever answered: each of its
 * requests gets the next thing to be told, questions or the end (MCP 2026-07-28, Multi Round-Trip Requests).
 */
export interface Conversation {
  /** A question of the upstream: resolves with what a later request of the client brings. */
  ask(question: Question, signal: AbortSignal): Promise<ClientAnswer>;
  readonly notify: Notify;
  /** Answers to questions by their keys. A question that was told and not answered is told again. */
  resume(responses: JsonObject): void;
  /** What to tell the client next. One request listens at a time: another takes the place of the one before. */
  next(listener: Listener): Promise<Turn>;
  /** Ends the work, whoever waits for it. */
  abandon(): void;
}

interface Asked {
  readonly question: Question;
  told: boolean;
  settle(answer: ClientAnswer): void;
}

/** `work` is the call itself; its signal aborts when nobody waits for the end of it any more. */
export function converse(
  work: (signal: AbortSignal, conversation: Pick<Conversation, "ask" | "notify">) => Promise<Turn>,
): Conversation {
  const ending = new AbortController();
  const asked = new Map<string, Asked>();
  let count = 0;
  let ended: Turn | undefined;
  let listener: Listener | undefined;
  let tell: ((turn: Turn) => void) | undefined;

  function untold(): Turn | undefined {
    const fresh = [...asked].filter(([, { told }]) => !told);
    if (fresh.length === 0) return undefined;
    for (const [, one] of fresh) one.told = true;
    const questions = new Map(fresh.map(([key, { question }]) => [key, question]));
    return { kind: "questions", questions, state: { kind: "held" } };
  }

  function settle(): void {
    if (tell === undefined) return;
    const turn = ended ?? untold();
    if (turn === undefined) return;
    const deliver = tell;
    leave();
    deliver(turn);
  }

  function leave(): void {
    listener?.signal.removeEventListener("abort", abandon);
    listener = undefined;
    tell = undefined;
  }

  function abandon(): void {
    ending.abort(new PortcullisError("cancelled"));
  }

  const conversation: Conversation = {
    ask(question, signal) {
      return new Promise((resolve, reject) => {
        count += 1;
        const key = `question-${count}`;
        const stop = () => {
          asked.delete(key);
          reject(new PortcullisError("cancelled"));
        };
        if (signal.aborted) return stop();
        signal.addEventListener("abort", stop, { once: true });
        asked.set(key, {
          question,
          told: false,
          settle(answer) {
            signal.removeEventListener("abort", stop);
            resolve(answer);
          },
        });
        settle();
      });
    },
    notify: (method, params) => listener?.notify(method, params),
    resume(responses) {
      for (const [key, one] of asked) {
        const response = Object.hasOwn(responses, key) ? responses[key] : undefined;
        if (response === undefined) one.told = false;
        else {
          asked.delete(key);
          one.settle({ kind: "result", text: JSON.stringify(response) });
        }
      }
    },
    next(next) {
      tell?.({ kind: "failure", error: new PortcullisError("cancelled") });
      leave();
      return new Promise((resolve) => {
        listener = next;
        tell = resolve;
        next.signal.addEventListener("abort", abandon, { once: true });
        if (next.signal.aborted) abandon();
        settle();
      });
    },
    abandon,
  };

  work(ending.signal, conversation)
    .catch((thrown: unknown): Turn => ({ kind: "failure", error: toPortcullisError(thrown) }))
    .then((turn) => {
      ended = turn;
      settle();
    })
    .catch(abandon);
  return conversation;
}
