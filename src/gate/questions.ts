import type { ClientAnswer, Question } from "../domain.ts";
import { PortcullisError } from "../lib/errors.ts";
import type { RequestId } from "../lib/rpc.ts";
import type { Replicas } from "../protocol/replicas.ts";

/** Questions to legacy clients that wait for their answers. The answer may arrive at another replica than asked. */
export interface Questions {
  /**
   * Puts a question to the client of a session and waits for what it says.
   *
   * @throws PortcullisError `cancelled` when nobody waits for it any more; `overloaded`
   */
  ask(session: string, question: Question, to: Asking, signal: AbortSignal): Promise<ClientAnswer>;
  /** Hands a client's answer to who asked. An answer that nobody waits for changes nothing: false where that is known. */
  answer(session: string, id: RequestId, answer: ClientAnswer): Promise<boolean>;
}

/** The stream on which a client is asked. */
export interface Asking {
  request(id: string, method: string, params: string): void;
  notify(method: string, params: string): void;
}

/** How many questions one client may be asked at a time. */
const MAX_PER_SESSION = 16;

interface Waiting {
  readonly session: string;
  settle(answer: ClientAnswer): void;
}

export function createQuestions(replicas: Replicas, newId: () => string): Questions {
  const waiting = new Map<string, Waiting>();

  /** The id says which replica asked, so that the answer finds it without looking anything up. */
  const own = `${replicas.node}.`;

  function settle(session: string, id: string, answer: ClientAnswer): boolean {
    const one = waiting.get(id);
    // Only the client that was asked may answer.
    if (one?.session !== session) return false;
    waiting.delete(id);
    one.settle(answer);
    return true;
  }

  replicas.onMessage("answer", ({ session, id, kind, text }) => {
    if (typeof session !== "string" || typeof id !== "string" || typeof text !== "string") return;
    settle(session, id, { kind: kind === "result" ? "result" : "error", text });
  });

  return {
    ask(session, question, to, signal) {
      const open = [...waiting.values()].filter((one) => one.session === session).length;
      if (open >= MAX_PER_SESSION)
        return Promise.reject(
          new PortcullisError("overloaded", { reason: "too many questions to one client" }),
        );
      return new Promise<ClientAnswer>((resolve, reject) => {
        const id = own + newId();
        if (signal.aborted) return reject(new PortcullisError("cancelled"));
        const stop = () => {
          waiting.delete(id);
          to.notify("notifications/cancelled", JSON.stringify({ requestId: id }));
          reject(new PortcullisError("cancelled"));
        };
        signal.addEventListener("abort", stop, { once: true });
        waiting.set(id, {
          session,
          settle(answer) {
            signal.removeEventListener("abort", stop);
            resolve(answer);
          },
        });
        to.request(id, question.method, question.params);
      });
    },
    async answer(session, id, answer) {
      if (typeof id !== "string") return false;
      if (id.startsWith(own)) return settle(session, id, answer);
      const node = /^([\w-]+)\.[\w-]+$/.exec(id)?.[1];
      if (node === undefined) return false;
      await replicas.tell(node, "answer", { session, id, ...answer });
      return true;
    },
  };
}
