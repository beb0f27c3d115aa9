import type { ListenRequest, UpstreamAnswer } from "../domain.ts";

export interface Subscription {
  /** The upstream's error, where it does not let its client subscribe. */
  readonly refused?: string;
  /** Settles when the upstream has answered. */
  stop(): unknown;
}

export type Subscribe = (uri: string) => Promise<Subscription>;

/** The resources of one server that its listeners want to hear of: each is subscribed to once for all who want it. */
export interface Subscriptions {
  readonly size: number;
  /**
   * Resolves when the upstream has answered for every URI: its error by URI where it refused. Rejects where there was no
   * answer; whoever goes on without one drops the request.
   */
  want(request: ListenRequest, subscribe: Subscribe): Promise<ReadonlyMap<string, string>>;
  /** What nobody wants any more is unsubscribed from. */
  drop(request: ListenRequest): void;
  /** undefined: nobody wants to hear of it. */
  listenersOf(uri: string): Iterable<ListenRequest> | undefined;
  /** Subscribes anew at a server that took another's place, and calls back for each URI once that is done. */
  restore(subscribe: Subscribe, onRestored: (uri: string) => void): void;
}

interface Wanted {
  readonly by: Set<ListenRequest>;
  subscription: Promise<Subscription>;
}

export function createSubscriptions(): Subscriptions {
  const wanted = new Map<string, Wanted>();
  /** Those that are being unsubscribed from: a subscription that overtook that would be lost to it. */
  const stopping = new Map<string, Promise<void>>();

  function open(uri: string, subscribe: Subscribe): Promise<Subscription> {
    const subscription = (stopping.get(uri) ?? Promise.resolve()).then(() => subscribe(uri));
    subscription.catch(() => {});
    return subscription;
  }

  function add(uri: string, request: ListenRequest, subscribe: Subscribe): Wanted {
    const one = wanted.get(uri) ?? { by: new Set(), subscription: open(uri, subscribe) };
    wanted.set(uri, one);
    one.by.add(request);
    return one;
  }

  function remove(uri: string, request: ListenRequest): void {
    const one = wanted.get(uri);
    if (!one?.by.delete(request) || one.by.size > 0) return;
    wanted.delete(uri);
    const stopped = one.subscription
      .then(({ stop }) => stop())
      .catch(() => {})
      .then(() => {
        if (stopping.get(uri) === stopped) stopping.delete(uri);
      });
    stopping.set(uri, stopped);
  }

  return {
    get size() {
      return wanted.size;
    },
    async want(request, subscribe) {
      const refused = new Map<string, string>();
      const each = request.uris.map(async (uri) => {
        const { refused: text } = await add(uri, request, subscribe).subscription;
        if (text === undefined) return;
        refused.set(uri, text);
        remove(uri, request);
      });
      await Promise.all(each);
      return refused;
    },
    drop(request) {
      for (const uri of request.uris) remove(uri, request);
    },
    listenersOf: (uri) => wanted.get(uri)?.by,
    restore(subscribe, onRestored) {
      for (const [uri, one] of wanted) {
        one.subscription = open(uri, subscribe);
        one.subscription.then(() => onRestored(uri)).catch(() => {});
      }
    },
  };
}

/** `resources/subscribe` of the legacy era. An answer may be undefined where the session is over. */
export async function subscribeLegacy(
  ask: (method: string) => Promise<UpstreamAnswer | undefined>,
): Promise<Subscription> {
  const answer = await ask("resources/subscribe");
  if (answer?.kind === "error") return { refused: answer.text, stop() {} };
  return { stop: () => ask("resources/unsubscribe") };
}
