import type { IncomingHttpHeaders } from "node:http";
import type { ListenRequest } from "../domain.ts";
import type { Clock } from "../lib/clock.ts";
import type { Log } from "../lib/log.ts";
import { changedList } from "./era.ts";
import { isEventStream } from "./exchange.ts";
import { type Access, NOTHING } from "./http-call.ts";
import type { Link } from "./link.ts";
import { type Message, progressTokenOf } from "./message.ts";
import { createQuestions, type ServerRequest } from "./questions.ts";
import { createResumption, type Resumption } from "./resumption.ts";
import type { Session } from "./session.ts";
import { type Backoff, sleep } from "./watch.ts";

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

export interface StandaloneOptions {
  readonly link: Link;
  readonly session: Session;
  readonly backoff: Backoff;
  /** How long it stays open for nobody, milliseconds. */
  readonly lingerMs: number;
  /** Whether the server still knows the session. */
  isAlive(access: Access): Promise<boolean>;
  onLost(): void;
  readonly log: Log;
  readonly clock: Clock;
}

/** Some servers send the head of a stream with its first event only: nobody waits longer than this for it. */
const OPENING_MS = 500;

/** Opened for the first who needs it, once for all; opened again where it was left until the session is over. */
export function createStandalone(options: StandaloneOptions): Standalone {
  const { link, session, backoff, lingerMs, log, clock } = options;
  const members = new Set<Member>();
  let hasNone = false;
  let running: { readonly closing: AbortController; readonly opened: Promise<void> } | undefined;
  let linger: NodeJS.Timeout | undefined;

  session.over.signal.addEventListener("abort", stop, { once: true });

  function stop(): void {
    clearTimeout(linger);
    running?.closing.abort();
    running = undefined;
    questions.close();
  }

  function start() {
    const closing = new AbortController();
    let onOpen = () => {};
    const opened = new Promise<void>((resolve) => {
      onOpen = resolve;
    });
    void sleep(OPENING_MS, closing.signal).then(onOpen);
    run(closing.signal, onOpen).catch((error) => log.debug({ reason: String(error) }, "no session stream"));
    return { closing, opened };
  }

  async function run(signal: AbortSignal, onOpen: () => void): Promise<void> {
    const resumption = createResumption(backoff);
    let hasBeenOpen = false;
    while (!signal.aborted) {
      const started = clock();
      const { lastEventId } = resumption;
      const head = await once(signal, resumption, () => {
        onOpen();
        if (hasBeenOpen && lastEventId === undefined) for (const member of members) member.onGap?.();
        hasBeenOpen = true;
      });
      onOpen();
      if (signal.aborted) return;
      if (head === "unknown") {
        if (!(await options.isAlive(access()))) return options.onLost();
        resumption.saw("");
      }
      hasNone = head === "none" || (head === "unknown" && lastEventId === undefined && !hasBeenOpen);
      if (hasNone) return;
      if (clock() - started > 2 * backoff.maxMs) resumption.reached();
      await sleep(resumption.nextWait(), signal);
    }
  }

  /** One GET, to its end. none: this server has no such stream; unknown: it may not know the session any more. */
  async function once(
    signal: AbortSignal,
    resumption: Resumption,
    onOpen: () => void,
  ): Promise<"none" | "unknown" | "ended"> {
    const { lastEventId } = resumption;
    const resuming = lastEventId === undefined ? [] : ["last-event-id", lastEventId];
    let end: "none" | "unknown" | "ended" = "ended";
    const onHead = (status: number, headers: IncomingHttpHeaders) => {
      if (status === 200 && isEventStream(headers)) onOpen();
      else end = meaningOf(status, session);
    };
    const headers = [...session.headers, ...resuming];
    await link
      .stream({ method: "GET", headers, access: access(), signal, resumption, onOpen: onHead, receive })
      .catch((error: Error) => log.debug({ reason: error.message }, "the session's stream broke"));
    return end;
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
      if (!hasNone && !session.over.signal.aborted) running ??= start();
      return { opened: running?.opened ?? Promise.resolve(), leave: () => leave(member) };
    },
  };
}

/** 405 by the specification, and what servers that know nothing of it answer. */
function meaningOf(status: number, session: Session): "none" | "unknown" | "ended" {
  if ((status === 404 || status === 400) && session.id !== "") return "unknown";
  const passes = status >= 500 || [401, 403, 408, 409, 425, 429].includes(status);
  return passes && status !== 501 ? "ended" : "none";
}
