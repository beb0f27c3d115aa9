import type { IncomingHttpHeaders } from "node:http";
import type { Clock } from "../lib/clock.ts";
import type { Log } from "../lib/log.ts";
import { isEventStream } from "./exchange.ts";
import type { Access } from "./http-call.ts";
import type { Link } from "./link.ts";
import type { Message } from "./message.ts";
import { createResumption, type Resumption } from "./resumption.ts";
import type { Session } from "./session.ts";
import { type Backoff, sleep } from "./watch.ts";

export interface SessionStreamOptions {
  readonly link: Link;
  readonly session: Session;
  readonly backoff: Backoff;
  readonly log: Log;
  readonly clock: Clock;
  /** With what it is asked for now. */
  access(): Access;
  receive(message: Message): void;
  /** It is open again, and what was sent in between may be lost. */
  onGap(): void;
  /** Whether the server still knows the session. */
  isAlive(access: Access): Promise<boolean>;
  onLost(): void;
}

/** The GET stream of one legacy session, opened again where it was left. */
export interface SessionStream {
  /** Opens it unless it is, or its server has none. Resolves when it is open, or there is none, or its server is slow to say. */
  open(): Promise<void>;
  /** It may be opened again. */
  close(): void;
}

/** What came of one GET. none: this server has no such stream; unknown: it may not know the session any more. */
type End = "none" | "unknown" | "ended";

/** Some servers send the head of a stream with its first event only: nobody waits longer than this for it. */
const OPENING_MS = 500;

export function createSessionStream(options: SessionStreamOptions): SessionStream {
  const { link, session, backoff, log, clock, access } = options;
  let hasNone = false;
  let running: { readonly closing: AbortController; readonly opened: Promise<void> } | undefined;

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
      const end = await once(signal, resumption, () => {
        onOpen();
        if (hasBeenOpen && lastEventId === undefined) options.onGap();
        hasBeenOpen = true;
      });
      onOpen();
      if (signal.aborted) return;
      if (end === "unknown") {
        if (!(await options.isAlive(access()))) return options.onLost();
        resumption.saw("");
      }
      hasNone = end === "none" || (end === "unknown" && lastEventId === undefined && !hasBeenOpen);
      if (hasNone) return;
      if (clock() - started > 2 * backoff.maxMs) resumption.reached();
      await sleep(resumption.nextWait(), signal);
    }
  }

  /** One GET, to its end. */
  async function once(signal: AbortSignal, resumption: Resumption, onOpen: () => void): Promise<End> {
    const { lastEventId } = resumption;
    const resuming = lastEventId === undefined ? [] : ["last-event-id", lastEventId];
    const headers = [...session.headers, ...resuming];
    const { receive } = options;
    let end: End = "ended";
    const onHead = (status: number, received: IncomingHttpHeaders) => {
      if (status === 200 && isEventStream(received)) onOpen();
      else end = meaningOf(status, session);
    };
    await link
      .stream({ method: "GET", headers, access: access(), signal, resumption, onOpen: onHead, receive })
      .catch((error: Error) => log.debug({ reason: error.message }, "the session's stream broke"));
    return end;
  }

  return {
    open() {
      if (!hasNone) running ??= start();
      return running?.opened ?? Promise.resolve();
    },
    close() {
      running?.closing.abort();
      running = undefined;
    },
  };
}

/** 405 by the specification, and what servers that know nothing of it answer. */
function meaningOf(status: number, session: Session): End {
  if ((status === 404 || status === 400) && session.id !== "") return "unknown";
  const passes = status >= 500 || [401, 403, 408, 409, 425, 429].includes(status);
  return passes && status !== 501 ? "ended" : "none";
}
