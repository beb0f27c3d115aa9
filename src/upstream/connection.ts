import type { Listed } from "../domain.ts";
import { PortcullisError } from "../lib/errors.ts";
import type { Log } from "../lib/log.ts";
import { type Asks, createAsks } from "./asks.ts";
import { type Child, type ChildOptions, startChild } from "./child.ts";
import { createDropped } from "./dropped.ts";
import { changedList } from "./era.ts";
import { type Message, notificationText, readMessage, takeSubscription } from "./message.ts";
import { type AskClient, createQuestions } from "./questions.ts";

/** JSON-RPC with one child. */
export interface Connection extends Pick<Asks, "ask"> {
  notify(method: string): void;
  /** What stdout held that was not JSON-RPC, in lines. */
  readonly garbage: number;
  close(): Promise<void>;
}

export type ConnectionOptions = Omit<ChildOptions, "onLine" | "onGarbage"> & {
  readonly log: Log;
  onChange(what: Listed): void;
  /** What belongs to no request by anything that it says. */
  onNotification(method: string, params: string): void;
  /** Rejects where nobody answers; undefined for a child that may ask nothing. */
  readonly onQuestion: AskClient | undefined;
};

export function connect(options: ConnectionOptions): Connection {
  const { log } = options;
  const onDropped = createDropped(log);
  const asks = createAsks((line) => child.send(line));
  let garbage = 0;

  const child: Child = startChild({
    ...options,
    onLine(line) {
      if (line.trim() === "") return;
      const message = readMessage(line);
      if (message === undefined) return onGarbage();
      try {
        receive(message);
      } catch (err) {
        // Nobody else catches where a line is heard: it would be the end of the process.
        log.error(
          { err, method: "method" in message ? message.method : "" },
          "a message of an upstream was lost",
        );
      }
    },
    onGarbage,
    onExit(reason) {
      asks.fail(new PortcullisError("upstream_unavailable", { reason }));
      questions.close();
      options.onExit(reason);
    },
  });
  const questions = createQuestions({
    ask: options.onQuestion,
    send: child.send,
    onDropped,
  });

  function onGarbage(): void {
    garbage += 1;
    if (garbage === 1) log.warn({}, "upstream writes to stdout what is not JSON-RPC");
  }

  function receive(message: Message): void {
    if (message.kind === "request") questions.receive(message);
    else if (message.kind === "notification") passOn(message.method, message.params);
    else if (!asks.settle(message.id, message.answer)) onDropped("a response that nobody waits for");
  }

  function passOn(method: string, params: string): void {
    const list = changedList(method);
    const subscribed = takeSubscription(params);
    if (list !== undefined) options.onChange(list);
    else if (method === "notifications/cancelled") questions.withdraw(params);
    else if (method === "notifications/progress") passProgress(params);
    else if (subscribed === undefined) options.onNotification(method, params);
    else asks.heard(subscribed.id, method, subscribed.params);
  }

  function passProgress(params: string): void {
    if (!asks.progress(params)) log.debug({}, "dropped the progress of no request");
  }

  return {
    ask: asks.ask,
    notify: (method) => void child.send(notificationText(method)),
    get garbage() {
      return garbage;
    },
    close: child.close,
  };
}
