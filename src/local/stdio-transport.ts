import type { Readable, Writable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import type { Exchange, Refusal } from "../domain.ts";
import { PortcullisError, toPortcullisError } from "../lib/errors.ts";
import type { Json } from "../lib/json.ts";
import { createLines } from "../lib/lines.ts";
import type { Log } from "../lib/log.ts";
import { errorText } from "../lib/rpc.ts";
import { parseStrict } from "../lib/strict-json.ts";
import { createInFlight } from "./in-flight.ts";
import { createLineAnswering } from "./line-answering.ts";
import { messageOf } from "./line-message.ts";
import { createLineWriter, type LineWriter } from "./line-writer.ts";
import { createLocalSession } from "./local-session.ts";

export interface StdioTransportOptions {
  /** The gate's. */
  handle(exchange: Exchange): Promise<void>;
  /** Records what never reached the gate; the answer waits for it. */
  onRefusal(refusal: Refusal): Promise<void>;
  /** The virtual server. */
  readonly server: string;
  readonly input: Readable;
  /** Nothing but messages is written to it. */
  readonly output: Writable;
  readonly limits: LineLimits;
  /** Ends it at once, where the end of input waits for answers on their way. */
  readonly signal: AbortSignal;
  readonly log: Log;
}

export interface LineLimits {
  /** Bytes of one line. */
  readonly body: number;
  /** Levels of nesting. */
  readonly depth: number;
  /** Milliseconds that open requests may take after the end of input. */
  readonly drain_ms: number;
}

/**
 * MCP over stdio in front of the gate, in both eras: each line is an exchange, as if it had come over HTTP. Resolves
 * when the input has ended, or the reader of the output has gone, and with them the session.
 */
export async function serveStdio(options: StdioTransportOptions): Promise<void> {
  const { handle, server, input, output, limits, log } = options;
  const gone = new AbortController();
  const over = AbortSignal.any([gone.signal, options.signal]);
  const writer = createLineWriter(output, {
    onStall: () => input.pause(),
    onDrain: () => input.resume(),
    onGone: () => gone.abort(),
  });
  const refuse = createRefusing(options, writer);
  const session = createLocalSession({ handle, server, onEvent: writer.write });
  const inFlight = createInFlight({ handle, server, session, writer, over });
  const answer = createLineAnswering({ inFlight, session, writer, refuse, log });
  /** Lines that are being answered, or wait for their turn. */
  const tasks = new Set<Promise<void>>();

  function begin(task: Promise<void>): void {
    const running = task
      .catch((err: unknown) => log.error({ err }, "a line could not be answered"))
      .finally(() => tasks.delete(running));
    tasks.add(running);
  }

  async function take(line: Buffer): Promise<void> {
    if (line.toString("latin1").trim() === "") return;
    let body: Json;
    try {
      body = parseStrict(line, { maxDepth: limits.depth });
    } catch (thrown) {
      return refuse(toPortcullisError(thrown));
    }
    await answer(messageOf(body));
  }

  const read = createLines({
    maxBytes: limits.body,
    onLine: (line) => begin(take(line)),
    onTooLong: () => begin(refuse(new PortcullisError("body_too_large"))),
  });
  await untilEnded(input, read, over);
  inFlight.leave(({ method }) => method === "subscriptions/listen");
  await settled(tasks, limits.drain_ms, over);
  inFlight.leave(() => true);
  await session.close();
  await Promise.race([
    writer.flush(),
    sleep(over.aborted ? FLUSH_MS : limits.drain_ms, undefined, { ref: false }),
  ]);
}

/** At a signal: the client's next one cannot be caught, and whoever reads at all has long read by then. */
const FLUSH_MS = 1000;

/** Of what is no message, or cannot be one now: without an id, on record before it is told. */
function createRefusing(
  { server, onRefusal, log }: Pick<StdioTransportOptions, "server" | "onRefusal" | "log">,
  { write }: Pick<LineWriter, "write">,
): (error: PortcullisError) => Promise<void> {
  return async (error) => {
    const { code, reason } = error;
    await onRefusal({ server, code, clientIp: "", reason }).catch((err: unknown) =>
      log.error({ err, code }, "a refusal could not be recorded"),
    );
    await write(errorText(null, error));
  };
}

/** Reads until the input ends or fails, or it is over. */
function untilEnded(input: Readable, read: (chunk: Buffer) => void, over: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      input.off("data", read);
      resolve();
    };
    // The last line may lack its end.
    input.once("end", () => read(Buffer.from("\n")));
    input.on("data", read).once("end", end).once("error", end).once("close", end);
    whenOver(over, end);
  });
}

/** Resolves when all are done, or time is up. */
function settled(tasks: ReadonlySet<Promise<void>>, ms: number, over: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    const done = (): void => {
      clearTimeout(timer);
      resolve();
    };
    whenOver(over, done);
    Promise.all(tasks).then(done, done);
  });
}

function whenOver(over: AbortSignal, then: () => void): void {
  if (over.aborted) then();
  else over.addEventListener("abort", then, { once: true });
}
