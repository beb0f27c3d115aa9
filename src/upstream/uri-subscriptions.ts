import type { Outcome } from "./http-call.ts";

/** `resources/subscribe` in one legacy session: a URI is subscribed to once for all listeners that want it. */
export interface UriSubscriptions {
  /** Resolves with the upstream's own error for each URI that it refuses. Rejects where there was no answer. */
  add(uris: readonly string[]): Promise<ReadonlyMap<string, string>>;
  /** Those that nobody wants any more are unsubscribed from. */
  remove(uris: Iterable<string>): void;
}

interface Subscription {
  wanted: number;
  /** What was asked of the upstream last: the next is asked when it has answered, so that they are not swapped. */
  last: Promise<string | undefined>;
}

export function createUriSubscriptions(
  ask: (method: string, uri: string) => Promise<Outcome["answer"]>,
): UriSubscriptions {
  const held = new Map<string, Subscription>();

  function subscribed(uri: string): Subscription {
    const one = held.get(uri) ?? { wanted: 0, last: Promise.resolve(undefined) };
    held.set(uri, one);
    one.wanted += 1;
    if (one.wanted === 1) turn(one, () => ask("resources/subscribe", uri));
    return one;
  }

  function turn(one: Subscription, next: () => Promise<Outcome["answer"]>): void {
    one.last = one.last
      .catch(() => {})
      .then(next)
      .then((answer) => (answer?.kind === "error" ? answer.text : undefined));
    one.last.catch(() => {});
  }

  function drop(uri: string, isRefused: boolean): void {
    const one = held.get(uri);
    if (one === undefined) return;
    one.wanted -= 1;
    if (one.wanted > 0) return;
    if (!isRefused) turn(one, () => ask("resources/unsubscribe", uri));
    const { last } = one;
    const forget = () => {
      if (one.wanted === 0 && one.last === last) held.delete(uri);
    };
    last.then(forget, forget);
  }

  return {
    async add(uris) {
      const refused = new Map<string, string>();
      const added = await Promise.allSettled(uris.map((uri) => subscribed(uri).last));
      const failed = added.find((one) => one.status === "rejected");
      for (const [at, one] of added.entries()) {
        const uri = uris[at] ?? "";
        if (one.status === "fulfilled" && one.value !== undefined) refused.set(uri, one.value);
        if (failed !== undefined || refused.has(uri))
          drop(uri, one.status === "rejected" || refused.has(uri));
      }
      if (failed !== undefined) throw failed.reason;
      return refused;
    },
    remove(uris) {
      for (const uri of uris) drop(uri, false);
    },
  };
}
