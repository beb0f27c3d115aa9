import type { Listed, UpstreamAnswer } from "../domain.ts";
import { PortcullisError } from "../lib/errors.ts";
import type { JsonObject } from "../lib/json.ts";
import type { Log } from "../lib/log.ts";
import { Transients } from "../lib/transients.ts";
import { type Child, type ChildOptions, startChild } from "./child.ts";
import { createDropped } from "./dropped.ts";
import { changedList, outboundParams } from "./era.ts";
import {
  type Message,
  notificationText,
  progressTokenOf,
  readMessage,
  requestText,
  restoreToken,
  takeSubscription,
} from "./message.ts";
import { type AskClient, createQuestions } from "./questions.ts";
import type { Scope } from "./scope.ts";

export interface Ask {
  readonly method: string;
  readonly params: JsonObject;
  readonly progressToken?: string | number | undefined;
  /** Progress, with the caller's token; of `subscriptions/listen` all that it brings. */
  onNotification?(method: string, params: string): void;
  /** Its answer was read; what the child says next, maybe in the same breath, is said after it. */
  onAnswer?(): void;
}

interface Pending {
  readonly ask: Ask;
  resolve(answer: UpstreamAnswer): void;
  reject(error: PortcullisError): void;
}

/** JSON-RPC with one child, for all its callers: ids and progress tokens are ours, mapped back for each. */
export interface Connection {
  /** @param meta the era's own `_meta` */
  ask(ask: Ask, scope: Scope, meta?: JsonObject | null): Promise<UpstreamAnswer>;
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
  const pending = new Transients<Pending>();
  let lastId = 0;
  let garbage = 0;
  let exited: PortcullisError | undefined;

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
      exited = new PortcullisError("upstream_unavailable", { reason });
      for (const one of pending.values()) one.reject(exited);
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
    else settle(message.id, message.answer);
  }

  function settle(id: unknown, answer: UpstreamAnswer): void {
    const one = typeof id === "number" ? pending.get(id) : undefined;
    if (one === undefined) onDropped("a response that nobody waits for");
    else {
      one.ask.onAnswer?.();
      one.resolve(answer);
    }
  }

  function passOn(method: string, params: string): void {
    const list = changedList(method);
    const subscribed = takeSubscription(params);
    if (list !== undefined) options.onChange(list);
    else if (method === "notifications/cancelled") questions.withdraw(params);
    else if (method === "notifications/progress") passProgress(params);
    else if (subscribed === undefined) options.onNotification(method, params);
    else passToListen(subscribed.id, method, subscribed.params);
  }

  function passToListen(id: number, method: string, params: string): void {
    const { ask } = pending.get(id) ?? {};
    if (ask?.method === "subscriptions/listen") ask.onNotification?.(method, params);
  }

  function passProgress(params: string): void {
    const token = progressTokenOf(params);
    const one = typeof token === "number" ? pending.get(token) : undefined;
    const restored = one && restoreToken(params, token as number, one.ask.progressToken);
    if (restored !== undefined) one?.ask.onNotification?.("notifications/progress", restored);
    else log.debug({}, "dropped the progress of no request");
  }

  function ask(asked: Ask, scope: Scope, meta: JsonObject | null = null): Promise<UpstreamAnswer> {
    const id = ++lastId;
    return new Promise<UpstreamAnswer>((resolve, reject) => {
      const { method, params, progressToken } = asked;
      const outbound = outboundParams(params, meta, progressToken === undefined ? undefined : id);
      const refusal = scope.error ?? exited;
      if (refusal !== undefined) return reject(refusal);
      if (!child.send(requestText(id, method, outbound))) {
        return reject(new PortcullisError("upstream_unavailable", { reason: "it does not read its input" }));
      }
      pending.set(id, { ask: asked, resolve, reject });
      scope.ending = {
        ended(error) {
          child.send(notificationText("notifications/cancelled", { requestId: id, reason: "cancelled" }));
          reject(error);
        },
      };
    }).finally(() => pending.delete(id));
  }

  return {
    ask,
    notify: (method) => void child.send(notificationText(method)),
    get garbage() {
      return garbage;
    },
    close: child.close,
  };
}
