import type { ListenRequest } from "../domain.ts";
import { changedList } from "./era.ts";
import { type Access, NOTHING } from "./http-call.ts";
import { type Message, progressTokenOf } from "./message.ts";
import { createQuestions, type ServerRequest } from "./questions.ts";
import { createSessionStream, type SessionStreamOptions } from "./session-stream.ts";

/** Who needs the stream: a call that may be asked something there, or a listener. */
export interface Member {
  readonly access: Access;
  readonly listener?: Pick<ListenRequest, "onNotification" | "onQuestion">;
  /** It is open again, and what was sent in between may be lost. */
  onGap?(): void;
}

/** The GET stream of one legacy session: what its server says outside of any request. */
export interface Standalone {
  /** `opened` resolves when it is open, or there is none, or its server is slow to say. */
  join(member: Member): { readonly opened: Promise<void>; leave(): void };
}

export interface StandaloneOptions
  extends Pick<
    SessionStreamOptions,
    "link" | "session" | "backoff" | "isAlive" | "onLost" | "log" | "clock"
  > {
  /** How long it stays open for nobody, milliseconds. */
  readonly lingerMs: number;
}

/** Opened for the first who needs it, once for all; opened again where it was left until the session is over. */
export function createStandalone(options: StandaloneOptions): Standalone {
  const { link, session, lingerMs } = options;
  const members = new Set<Member>();
  let linger: NodeJS.Timeout | undefined;

  const stream = createSessionStream({
    ...options,
    access,
    receive,
    onGap() {
      for (const member of members) member.onGap?.();
    },
  });
  session.over.signal.addEventListener("abort", stop, { once: true });

  function stop(): void {
    clearTimeout(linger);
    stream.close();
    questions.close();
  }

  /** The newest member's: older ones may have expired. */
  function access(): Access {
    return [...members].at(-1)?.access ?? NOTHING;
  }

  function listener(): Member["listener"] {
    return [...members].findLast((member) => member.listener !== undefined)?.listener;
  }

  const tell = (body: string) =>
    link.post({ method: "POST", headers: session.headers, access: access(), body });

  /** Of questions that belong to no request. */
  const questions = createQuestions({
    ask: async (question, signal) => {
      const asked = listener();
      if (asked?.onQuestion === undefined) throw new Error("nobody is asked");
      return asked.onQuestion(question, signal);
    },
    send: tell,
    onDropped: link.onDropped,
  });
  const refusals = createQuestions({ ask: undefined, send: tell, onDropped: link.onDropped });

  function receive(message: Message): void {
    if (message.kind === "notification") hear(message.method, message.params);
    else if (message.kind === "request") ask(message);
    else link.onDropped("a message on a session's stream");
  }

  function hear(method: string, params: string): void {
    const list = changedList(method);
    if (list !== undefined) link.onListChanged(list);
    else if (method === "notifications/progress") {
      const token = progressTokenOf(params);
      const call = typeof token === "number" ? session.pending.get(token) : undefined;
      if (call?.onProgress(params) !== true) link.onDropped("progress of no request");
    } else if (method === "notifications/cancelled") {
      questions.withdraw(params);
      for (const call of session.pending.values()) call.onCancelled(params);
    } else listener()?.onNotification(method, params);
  }

  /**
   * A question here says of no call that it is about it: it is one's only if that is all there is. A server without
   * sessions sends it to any client, so nobody is asked.
   */
  function ask(request: ServerRequest): void {
    const [only] = session.pending.size === 1 ? session.pending.values() : [];
    const able = only?.mayAsk === true || listener()?.onQuestion !== undefined;
    if (session.id === "" || !able) refusals.receive(request);
    else if (only?.mayAsk === true) only.onRequest(request);
    else questions.receive(request);
  }

  function leave(member: Member): void {
    if (!members.delete(member)) return;
    if (listener() === undefined) questions.close();
    if (members.size > 0) return;
    if (lingerMs === 0 || session.over.signal.aborted) stop();
    else linger = setTimeout(stop, lingerMs).unref();
  }

  return {
    join(member) {
      clearTimeout(linger);
      members.add(member);
      const opened = session.over.signal.aborted ? Promise.resolve() : stream.open();
      return { opened, leave: () => leave(member) };
    },
  };
}
