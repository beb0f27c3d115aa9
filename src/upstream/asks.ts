import type { UpstreamAnswer } from "../domain.ts";
import { PortcullisError } from "../lib/errors.ts";
import type { JsonObject } from "../lib/json.ts";
import { Transients } from "../lib/transients.ts";
import { outboundParams } from "./era.ts";
import { notificationText, progressTokenOf, requestText, restoreToken } from "./message.ts";
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

/** What a child is asked, for all its callers: ids and progress tokens are ours, mapped back for each. */
export interface Asks {
  /** @param meta the era's own `_meta` */
  ask(ask: Ask, scope: Scope, meta?: JsonObject | null): Promise<UpstreamAnswer>;
  /** Hands an answer to who waits for it; false: nobody does. */
  settle(id: unknown, answer: UpstreamAnswer): boolean;
  /** The same for `notifications/progress`. */
  progress(params: string): boolean;
  /** What came by the `subscriptions/listen` with this id. */
  heard(id: number, method: string, params: string): void;
  /** Nothing is answered any more. */
  fail(error: PortcullisError): void;
}

interface Pending {
  readonly ask: Ask;
  resolve(answer: UpstreamAnswer): void;
  reject(error: PortcullisError): void;
}

/** `send`: false where the child does not take it. */
export function createAsks(send: (line: string) => boolean): Asks {
  const pending = new Transients<Pending>();
  let lastId = 0;
  let failed: PortcullisError | undefined;

  function of(id: unknown): Pending | undefined {
    return typeof id === "number" ? pending.get(id) : undefined;
  }

  function ask(asked: Ask, scope: Scope, meta: JsonObject | null = null): Promise<UpstreamAnswer> {
    const id = ++lastId;
    return new Promise<UpstreamAnswer>((resolve, reject) => {
      const { method, params, progressToken } = asked;
      const outbound = outboundParams(params, meta, progressToken === undefined ? undefined : id);
      const refusal = scope.error ?? failed;
      if (refusal !== undefined) return reject(refusal);
      if (!send(requestText(id, method, outbound))) {
        return reject(new PortcullisError("upstream_unavailable", { reason: "it does not read its input" }));
      }
      pending.set(id, { ask: asked, resolve, reject });
      scope.ending = {
        ended(error) {
          send(notificationText("notifications/cancelled", { requestId: id, reason: "cancelled" }));
          reject(error);
        },
      };
    }).finally(() => pending.delete(id));
  }

  return {
    ask,
    settle(id, answer) {
      const one = of(id);
      one?.ask.onAnswer?.();
      one?.resolve(answer);
      return one !== undefined;
    },
    progress(params) {
      const token = progressTokenOf(params);
      const one = of(token);
      const restored = one && restoreToken(params, token as number, one.ask.progressToken);
      if (restored !== undefined) one?.ask.onNotification?.("notifications/progress", restored);
      return restored !== undefined;
    },
    heard(id, method, params) {
      const { ask } = pending.get(id) ?? {};
      if (ask?.method === "subscriptions/listen") ask.onNotification?.(method, params);
    },
    fail(error) {
      failed = error;
      for (const one of pending.values()) one.reject(error);
    },
  };
}
