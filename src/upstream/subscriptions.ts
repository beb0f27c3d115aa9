import type { ListenRequest } from "../domain.ts";
import { PortcullisError } from "../lib/errors.ts";
import { memberOf, scalarIn } from "../lib/members.ts";
import { honouredIn, listenParams, NOT_HONOURED } from "./era.ts";
import { createScope, NO_LIMIT_MS } from "./scope.ts";
import { askWithin, type Ready } from "./stdio-handshake.ts";

const UPDATED = "notifications/resources/updated";
const ACKNOWLEDGED = "notifications/subscriptions/acknowledged";

/** One URI, subscribed to once for all who want it. */
interface Wanted {
  readonly by: Set<ListenRequest>;
  subscription: Promise<Subscription>;
}

interface Subscription {
  /** The upstream's error, where it does not let its client subscribe. */
  readonly refused?: string;
  stop(): void;
}

export interface Subscriptions {
  readonly size: number;
  /** Resolves when the upstream has answered for every URI: its error by URI where it refused. */
  want(ready: Ready, request: ListenRequest): Promise<ReadonlyMap<string, string>>;
  drop(request: ListenRequest): void;
  /** `notifications/resources/updated` of a legacy child, to those who wanted just that URI; false: nobody did. */
  updated(params: string): boolean;
  /** Subscribes again at a child that took another's place; who waits is told of what may have been missed. */
  restore(ready: Ready): void;
}

/** The resources that owners want to hear of, on one child. `hears`: whether this is what its owner wants now. */
export function createSubscriptions(
  hears: (request: ListenRequest) => boolean,
  askMs: number,
): Subscriptions {
  const wanted = new Map<string, Wanted>();

  function tell(uri: string, params: string): void {
    for (const request of wanted.get(uri)?.by ?? [])
      if (hears(request)) request.onNotification(UPDATED, params);
  }

  function open(ready: Ready, uri: string): Promise<Subscription> {
    const subscription =
      ready.identity.era === "legacy"
        ? subscribe(ready, uri, askMs)
        : listenFor(ready, uri, askMs, (params) => tell(uri, params));
    subscription.catch(() => {});
    return subscription;
  }

  function add(ready: Ready, uri: string, request: ListenRequest): Wanted {
    const one = wanted.get(uri) ?? { by: new Set(), subscription: open(ready, uri) };
    wanted.set(uri, one);
    one.by.add(request);
    return one;
  }

  function remove(uri: string, request: ListenRequest): void {
    const one = wanted.get(uri);
    if (!one?.by.delete(request) || one.by.size > 0) return;
    wanted.delete(uri);
    one.subscription.then(({ stop }) => stop()).catch(() => {});
  }

  return {
    get size() {
      return wanted.size;
    },
    async want(ready, request) {
      const refused = new Map<string, string>();
      const each = request.uris.map(async (uri) => {
        const { refused: text } = await add(ready, uri, request).subscription;
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
    updated(params) {
      const uri = uriOf(params);
      tell(uri, params);
      return wanted.has(uri);
    },
    restore(ready) {
      for (const [uri, one] of wanted) {
        one.subscription = open(ready, uri);
        one.subscription.then(() => tell(uri, JSON.stringify({ uri }))).catch(() => {});
      }
    },
  };
}

async function subscribe({ connection, metaOf }: Ready, uri: string, askMs: number): Promise<Subscription> {
  const ask = (method: string) => askWithin(connection, { method, params: { uri } }, askMs, metaOf({}));
  const answer = await ask("resources/subscribe");
  if (answer.kind === "error") return { refused: answer.text, stop() {} };
  return { stop: () => void ask("resources/unsubscribe").catch(() => {}) };
}

/** `subscriptions/listen` for one URI: acknowledged or answered with an error, and over when it is cancelled. */
function listenFor(
  { connection, metaOf }: Ready,
  uri: string,
  askMs: number,
  onUpdate: (params: string) => void,
): Promise<Subscription> {
  const over = new AbortController();
  const stop = () => over.abort();
  const scope = createScope(over.signal, NO_LIMIT_MS);
  let late: NodeJS.Timeout | undefined;
  return new Promise<Subscription>((resolve, reject) => {
    late = setTimeout(() => {
      reject(new PortcullisError("upstream_timeout"));
      stop();
    }, askMs);
    const onNotification = (method: string, params: string) => {
      if (method === UPDATED && uriOf(params) === uri) onUpdate(params);
      if (method !== ACKNOWLEDGED) return;
      resolve(honouredIn(params).uris.includes(uri) ? { stop } : { refused: NOT_HONOURED, stop });
    };
    const params = listenParams([], [uri]);
    connection
      .ask({ method: "subscriptions/listen", params, onNotification }, scope, metaOf({}))
      .then(({ kind, text }) => resolve({ refused: kind === "error" ? text : NOT_HONOURED, stop }), reject)
      .finally(() => scope.close());
  }).finally(() => clearTimeout(late));
}

function uriOf(params: string): string {
  try {
    return String(scalarIn(memberOf(params, "uri")) ?? "");
  } catch {
    return "";
  }
}
