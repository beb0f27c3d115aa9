import type { Readable, Writable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import type { Exchange, Refusal } from "../domain.ts";
import { PortcullisError, toPortcullisError } from "../lib/errors.ts";
import { isJsonObject, type Json } from "../lib/json.ts";
import { createLines } from "../lib/lines.ts";
import type { Log } from "../lib/log.ts";
import { errorText, type RequestId } from "../lib/rpc.ts";
import { parseStrict } from "../lib/strict-json.ts";
import { type Asked, ask, type LineAnswer } from "./line-exchange.ts";
import { type LineMessage, messageOf } from "./line-message.ts";
import { createLineWriter } from "./line-writer.ts";
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

/** A modern message says all of itself. */
const NO_HEADERS: ReadonlyMap<string, string> = new Map();

interface Open extends Asked {
  readonly message: LineMessage;
  /** The client no longer wants the answer. */
  isUnwanted: boolean;
}

/**
 * MCP over stdio in front of the gate, in both eras: each line is an exchange, as if it had come over HTTP. Resolves
 * when the input has ended, or the reader of the output has gone, and with them the session.
 */
export async function serveStdio(options: StdioTransportOptions): Promise<void> {
  const { handle, server, input, output, limits, log } = options;
  const open = new Set<Open>();
  /** The requests among them. */
  const requests = new Map<unknown, Open>();
  /** Lines that are being answered, or wait for their turn. */
  const tasks = new Set<Promise<void>>();
  const gone = new AbortController();
  const over = AbortSignal.any([gone.signal, options.signal]);
  const writer = createLineWriter(output, {
    onStall: () => input.pause(),
    onDrain: () => input.resume(),
    onGone: () => gone.abort(),
  });
  const session = createLocalSession({ handle, server, onEvent: writer.write });
  /** An initialize on its way: what follows it belongs to its session. */
  let opening: Promise<unknown> = Promise.resolve();

  async function refuse(error: PortcullisError): Promise<void> {
    const { code, reason } = error;
    await options
      .onRefusal({ server, code, clientIp: "", reason })
      .catch((err: unknown) => log.error({ err, code }, "a refusal could not be recorded"));
    await writer.write(errorText(null, error));
  }

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
    const message = messageOf(body);
    const answered = opening.then(() => answer(message));
    if (message.method === "initialize") opening = answered.catch(() => {});
    await answered;
  }

  async function answer(message: LineMessage): Promise<void> {
    if (message.method === "notifications/cancelled" && cancel(message)) return;
    // Told without the id, whose answer is still to come.
    if (message.kind === "request" && requests.has(message.id))
      return refuse(new PortcullisError("id_in_use"));
    const lost = session.id;
    let one = await put(message);
    if (saysSessionUnknown(one.answer) && (await session.renew(lost))) one = await put(message);
    if (message.method === "initialize") session.opened(message, one.answer);
    if (message.method === "notifications/initialized") session.listen();
    await tell(message, one);
  }

  /** Puts a message to the gate. What a stream brings is written as it comes. */
  async function put(message: LineMessage): Promise<Put> {
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
  }

  /** Only requests are answered, and what is no message at all. */
  async function tell({ kind, id }: LineMessage, { answer, isAnswered }: Put): Promise<void> {
    if (kind === "notification" || kind === "response") {
      if (answer.status >= 400) log.debug({ status: answer.status }, "a message was refused");
    } else if (!isAnswered) {
      const nothing = errorText(id, new PortcullisError("cancelled", { reason: "no answer" }));
      await writer.write(answer.text === "" ? nothing : withId(answer.text, id));
    }
  }

  /** Over HTTP a modern client cancels by going away, over stdio it says so; a legacy one tells its session. */
  function cancel({ params }: LineMessage): boolean {
    const one = requests.get(params.requestId);
    if (one === undefined) return false;
    one.isUnwanted = true;
    if (one.message.claimed === undefined) return false;
    one.cancel();
    return true;
  }

  function leave(which: (one: Open) => boolean): void {
    for (const one of open) if (which(one)) one.leave();
  }

  const read = createLines({
    maxBytes: limits.body,
    onLine: (line) => begin(take(line)),
    onTooLong: () => begin(refuse(new PortcullisError("body_too_large"))),
  });
  await untilEnded(input, read, over);
  leave(({ message }) => message.method === "subscriptions/listen");
  await settled(tasks, limits.drain_ms, over);
  leave(() => true);
  await session.close();
  await Promise.race([
    writer.flush(),
    sleep(over.aborted ? FLUSH_MS : limits.drain_ms, undefined, { ref: false }),
  ]);
}

/** At a signal: the client's next one cannot be caught, and whoever reads at all has long read by then. */
const FLUSH_MS = 1000;

interface Put {
  /** Its text is the response, also where an event brought it. */
  readonly answer: LineAnswer;
  /** The client was told by an event, or does not want to be. */
  readonly isAnswered: boolean;
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

function saysSessionUnknown({ status, text }: LineAnswer): boolean {
  return status === 404 && text !== "" && codeIn(text) === "session_unknown";
}

function codeIn(text: string): unknown {
  const { error } = JSON.parse(text);
  return isJsonObject(error) && isJsonObject(error.data) ? error.data.code : undefined;
}

/** A refusal before the message was read does not know whose it is. */
function withId(text: string, id: RequestId | null): string {
  const { error, ...rest } = JSON.parse(text);
  return error === undefined || rest.id === id ? text : JSON.stringify({ ...rest, id, error });
}

/** Whether this is the response to a request, and not a request or notification of the server's. */
function answers(text: string, id: RequestId | null): boolean {
  const message: unknown = JSON.parse(text);
  return isJsonObject(message) && message.method === undefined && message.id === id;
}
