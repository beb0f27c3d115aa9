import type { ClientAnswer, Lease, ListenRequest, Question } from "../domain.ts";
import { PortcullisError } from "../lib/errors.ts";
import { dropTimer, MAX_DELAY_MS } from "../lib/timers.ts";
import { type Hearer, hearing } from "./hearer.ts";
import type { Rooms } from "./rooms.ts";
import type { Tuning } from "./tuning.ts";

/** An upstream that is listened to, until `close`. */
export interface Channel {
  readonly key: string;
  /** Resolves when it listens, or has failed to once: it goes on trying. */
  readonly tried: Promise<void>;
  close(): void;
}

interface ChannelOptions {
  readonly upstream: string;
  readonly hearer: Hearer;
  readonly tuning: Tuning;
  receive(method: string, params: string): void;
  ask(question: Question, signal: AbortSignal): Promise<ClientAnswer>;
}

const FIRST_MS = 1000;
const LONGEST_MS = 60_000;

/** What is listened to with one lease, until it is left. */
interface Listened {
  readonly lease: Lease;
  leave(): void;
}

type Parts = Pick<Rooms, "upstreams" | "credentials" | "policies" | "clock" | "log">;

/** Listens with a lease of the hearer's own, and with another once that is over. */
export function openChannel(rooms: Parts, options: ChannelOptions): Channel {
  const { upstream, hearer, tuning } = options;
  const closing = new AbortController();
  const { signal } = closing;
  let tell = () => {};
  const tried = new Promise<void>((resolve) => {
    tell = resolve;
  });

  async function listen(): Promise<Listened> {
    const lease = await rooms.credentials.obtain(tuning.credential, hearer.identity.principal, {
      decisionId: hearer.decisionId,
      upstream,
      server: hearer.server,
      revision: hearing(rooms, hearer).policy.revision,
    });
    if (signal.aborted) throw new PortcullisError("cancelled");
    const leaving = new AbortController();
    const either = AbortSignal.any([signal, leaving.signal]);
    await rooms.upstreams.get(upstream)?.listen(requestWith(lease, either));
    const done = lease.hold?.();
    return {
      lease,
      leave() {
        leaving.abort();
        done?.();
      },
    };
  }

  function requestWith(lease: Lease, either: AbortSignal): ListenRequest {
    const { sessionKey, clientInfo, clientCapabilities, who, decisionId } = hearer;
    return {
      ...{ sessionKey, clientInfo, clientCapabilities, who, decisionId },
      credential: lease.headers,
      lease,
      uris: tuning.uris,
      ...(tuning.logLevel !== undefined && { logLevel: tuning.logLevel }),
      signal: either,
      onNotification: options.receive,
      ...(tuning.asks && { onQuestion: options.ask }),
    };
  }

  async function run(): Promise<void> {
    let wait = FIRST_MS;
    let leave = () => {};
    while (!signal.aborted) {
      try {
        const listened = await listen();
        leave();
        leave = listened.leave;
        tell();
        wait = FIRST_MS;
        await Promise.all([untilOver(listened.lease), pause(FIRST_MS, signal)]);
      } catch (err) {
        // With a lease that is over nobody listens on.
        leave();
        if (wait === FIRST_MS && !signal.aborted)
          rooms.log.warn({ err, upstream }, "an upstream is not heard");
        tell();
        await pause(wait, signal);
        wait = Math.min(2 * wait, LONGEST_MS);
      }
    }
    leave();
  }

  /** A lease may be renewed while it is held, and ended before it expires. */
  async function untilOver(lease: Lease): Promise<void> {
    const { ended } = lease;
    const over = ended === undefined ? signal : AbortSignal.any([signal, ended]);
    const left = () => lease.expires - rooms.clock();
    while (!over.aborted && left() > 0) await pause(left(), over);
  }

  run().catch((err: unknown) => rooms.log.error({ err, upstream }, "an upstream is not heard any more"));
  return { key: tuning.key, tried, close: () => closing.abort() };
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      dropTimer(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, Math.min(ms, MAX_DELAY_MS)).unref();
    signal.addEventListener("abort", done, { once: true });
    if (signal.aborted) done();
  });
}
