import type { ListenRequest } from "../domain.ts";
import { PortcullisError } from "../lib/errors.ts";
import { memberOf, scalarIn } from "../lib/members.ts";
import { honouredIn, listenParams, NOT_HONOURED } from "./era.ts";
import { createScope, NO_LIMIT_MS } from "./scope.ts";
import { askWithin, type Ready } from "./stdio-handshake.ts";
import { createSubscriptions, type Subscribe, type Subscription, subscribeLegacy } from "./subscriptions.ts";

const UPDATED = "notifications/resources/updated";
const ACKNOWLEDGED = "notifications/subscriptions/acknowledged";

export interface ChildSubscriptions {
  readonly size: number;
  /** Resolves when the child has answered for every URI: its error by URI where it refused. */
  want(ready: Ready, request: ListenRequest): Promise<ReadonlyMap<string, string>>;
  drop(request: ListenRequest): void;
  /** `notifications/resources/updated` of a legacy child, to those who wanted just that URI; false: nobody did. */
  updated(params: string): boolean;
  /** Subscribes again at a child that took another's place; who waits is told of what may have been missed. */
  restore(ready: Ready): void;
}

/** The resources that somebody wants to hear of, on one child. `hears`: whether it is still wanted. */
export function createChildSubscriptions(
  hears: (request: ListenRequest) => boolean,
  askMs: number,
): ChildSubscriptions {
  const subscriptions = createSubscriptions();

  function tell(uri: string, params: string): boolean {
    const listeners = subscriptions.listenersOf(uri);
    for (const request of listeners ?? []) if (hears(request)) request.onNotification(UPDATED, params);
    return listeners !== undefined;
  }

  function at(ready: Ready): Subscribe {
    const { connection, identity, metaOf } = ready;
    if (identity.era === "modern")
      return (uri) => listenFor(ready, uri, askMs, (params) => tell(uri, params));
    return (uri) =>
      subscribeLegacy((method) => askWithin(connection, { method, params: { uri } }, askMs, metaOf({})));
  }

  return {
    get size() {
      return subscriptions.size;
    },
    want: (ready, request) => subscriptions.want(request, at(ready)),
    drop: subscriptions.drop,
    updated: (params) => tell(uriOf(params), params),
    restore(ready) {
      subscriptions.restore(at(ready), (uri) => tell(uri, JSON.stringify({ uri })));
    },
  };
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
