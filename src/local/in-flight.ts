import type { Exchange } from "../domain.ts";
import { isJsonObject } from "../lib/json.ts";
import type { RequestId } from "../lib/rpc.ts";
import { type Asked, ask, type LineAnswer } from "./line-exchange.ts";
import type { LineMessage } from "./line-message.ts";
import type { LineWriter } from "./line-writer.ts";
import type { LocalSession } from "./local-session.ts";

export interface InFlightOptions {
  handle(exchange: Exchange): Promise<void>;
  readonly server: string;
  readonly session: Pick<LocalSession, "headers">;
  readonly writer: Pick<LineWriter, "write">;
  /** The client has gone. */
  readonly over: AbortSignal;
}

/** The messages that are with the gate. */
export interface InFlight {
  /** Puts a message to the gate. What a stream brings is written as it comes. */
  put(message: LineMessage): Promise<Put>;
  /** Whether a request of this id waits for its answer. */
  has(id: RequestId | null): boolean;
  /** `notifications/cancelled`: whether that was all, or its session has to hear of it. */
  cancel(cancelled: LineMessage): boolean;
  leave(which: (message: LineMessage) => boolean): void;
}

export interface Put {
  /** Its text is the response, also where an event brought it. */
  readonly answer: LineAnswer;
  /** The client was told by an event, or does not want to be. */
  readonly isAnswered: boolean;
}

interface Open extends Asked {
  readonly message: LineMessage;
  /** The client no longer wants the answer. */
  isUnwanted: boolean;
}

/** A modern message says all of itself. */
const NO_HEADERS: ReadonlyMap<string, string> = new Map();

export function createInFlight({ handle, server, session, writer, over }: InFlightOptions): InFlight {
  const open = new Set<Open>();
  /** The requests among them. */
  const requests = new Map<unknown, Open>();

  return {
    async put(message) {
      let response = "";
      const asked = ask(handle, {
        server,
        verb: "POST",
        body: message.body,
        id: message.id,
        headers: message.claimed === undefined ? session.headers(message.method) : NO_HEADERS,
        async onEvent(text) {
          if (one.isUnwanted) return;
          if (answers(text, message.id)) response = text;
          await writer.write(text);
        },
      });
      const one: Open = { ...asked, message, isUnwanted: false };
      open.add(one);
      if (message.kind === "request") requests.set(message.id, one);
      if (over.aborted) one.leave();
      const answer = await asked.answered;
      open.delete(one);
      if (requests.get(message.id) === one) requests.delete(message.id);
      const isAnswered = response !== "" || one.isUnwanted;
      return { answer: { ...answer, text: answer.text || response }, isAnswered };
    },
    has: (id) => requests.has(id),
    // Over HTTP a modern client cancels by going away, over stdio it says so; a legacy one tells its session.
    cancel({ params }) {
      const one = requests.get(params.requestId);
      if (one === undefined) return false;
      one.isUnwanted = true;
      if (one.message.claimed === undefined) return false;
      one.cancel();
      return true;
    },
    leave(which) {
      for (const one of open) if (which(one.message)) one.leave();
    },
  };
}

/** Whether this is the response to a request, and not a request or notification of the server's. */
function answers(text: string, id: RequestId | null): boolean {
  const message: unknown = JSON.parse(text);
  return isJsonObject(message) && message.method === undefined && message.id === id;
}
