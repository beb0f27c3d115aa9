import type { ClientAnswer, Question } from "../domain.ts";
import { membersOf } from "../lib/members.ts";
import { answerText, clientAnswerText, type Message } from "./message.ts";

/** Questions that may wait at a time, of one call, session or child; as many answers may be on their way. */
const MOST = 16;
/** Longest wait for a client's answer, milliseconds. */
const LONGEST_MS = 600_000;
const NO_ANSWER: ClientAnswer = {
  kind: "error",
  text: '{"code":-32603,"message":"The client gave no answer"}',
};
const TOO_MANY: ClientAnswer = {
  kind: "error",
  text: '{"code":-32603,"message":"Too many questions are open"}',
};

export type ServerRequest = Extract<Message, { kind: "request" }>;
export type AskClient = (question: Question, signal: AbortSignal) => Promise<ClientAnswer>;

export interface Questions {
  /** Answers a request of the upstream: at once, or when its client has. */
  receive(request: ServerRequest): void;
  /** Params of the upstream's `notifications/cancelled`, perhaps for a question that it no longer waits for. */
  withdraw(params: string): void;
  /** Nobody waits any more: what the client still says is dropped. */
  close(): void;
}

export interface QuestionsOptions {
  /** Rejects, or is undefined, where nobody answers. */
  readonly ask: AskClient | undefined;
  /** Tells the upstream; a promise settles when it has heard. */
  send(text: string): unknown;
  /** A first question waits now (true), or the last one no longer does. */
  onWaiting?(waiting: boolean): void;
  onDropped?(what: string): void;
}

interface Waiting {
  readonly abort: AbortController;
  readonly timer: NodeJS.Timeout;
}

const KINDS: Readonly<Record<Question["method"], Question["kind"]>> = {
  "sampling/createMessage": "sampling",
  "elicitation/create": "elicitation",
  "roots/list": "roots",
};

/** A legacy upstream's questions to its client, answered under its own ids, bounded in number and in time. */
export function createQuestions({ ask, send, onWaiting, onDropped }: QuestionsOptions): Questions {
  const waiting = new Map<string, Waiting>();
  let sending = 0;

  function say(text: string): void {
    sending += 1;
    const sent = () => {
      sending -= 1;
    };
    Promise.resolve(send(text)).then(sent, sent);
  }

  function receive(request: ServerRequest): void {
    const { id } = request;
    const question = questionOf(request);
    if (!isId(id)) onDropped?.("a request without a usable id");
    else if (waiting.has(id)) onDropped?.("a request whose id is in use");
    else if (sending >= MOST) onDropped?.("a request, since too many answers are on their way");
    else if (question === undefined || ask === undefined) say(answerText(request));
    else if (waiting.size >= MOST) say(clientAnswerText(id, TOO_MANY));
    else put(id, ask, question);
  }

  function put(id: string, ask: AskClient, question: Question): void {
    const abort = new AbortController();
    const timer = setTimeout(() => {
      settle(NO_ANSWER);
      abort.abort();
    }, LONGEST_MS).unref();
    const one: Waiting = { abort, timer };
    function settle(answer: ClientAnswer): void {
      if (remove(id, one)) say(clientAnswerText(id, answer));
    }
    waiting.set(id, one);
    if (waiting.size === 1) onWaiting?.(true);
    // In a task of its own, so that a throw is a rejection.
    Promise.resolve()
      .then(() => ask(question, abort.signal))
      .then(settle)
      .catch(() => settle(NO_ANSWER));
  }

  function remove(id: string, one: Waiting): boolean {
    if (waiting.get(id) !== one) return false;
    clearTimeout(one.timer);
    waiting.delete(id);
    if (waiting.size === 0) onWaiting?.(false);
    return true;
  }

  function forget(id: string): void {
    const one = waiting.get(id);
    if (one !== undefined && remove(id, one)) one.abort.abort();
  }

  return {
    receive,
    withdraw(params) {
      const id = requestIdIn(params);
      if (id !== undefined) forget(id);
    },
    close() {
      for (const id of [...waiting.keys()]) forget(id);
    },
  };
}

function questionOf({ method, params }: ServerRequest): Question | undefined {
  if (!Object.hasOwn(KINDS, method)) return undefined;
  const known = method as Question["method"];
  return { kind: KINDS[known], method: known, params };
}

/** Raw text of a string or a number, short enough to be sent back. */
function isId(id: string): boolean {
  return /^["\d-]/.test(id) && id.length <= 1024;
}

function requestIdIn(params: string): string | undefined {
  try {
    return membersOf(params).get("requestId");
  } catch {
    return undefined;
  }
}
