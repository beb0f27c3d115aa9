import { statusError } from "./http-call.ts";
import type { Attach, Wanted } from "./listening.ts";
import { isLost, type OwnRequests } from "./own-requests.ts";
import { createScope, type Scope } from "./scope.ts";
import type { Session } from "./session.ts";
import type { Standalone } from "./standalone.ts";
import { createSubscriptions, type Subscriptions, subscribeLegacy } from "./subscriptions.ts";
import { aborted } from "./watch.ts";

export interface LegacyListenerOptions {
  /** For opening the session and all that follows until it listens, milliseconds. */
  readonly openMs: number;
  readonly own: Pick<OwnRequests, "ask" | "setLogLevel">;
  with<T>(wanted: Wanted, scope: Scope, use: (session: Session) => Promise<T>): Promise<T>;
  standaloneOf(sessionKey: string, session: Session): Standalone;
  lose(sessionKey: string, session: Session): Promise<void>;
}

/** Listens in an upstream session: its GET stream, its subscriptions, its log level; until the session is over. */
export function createLegacyListener(options: LegacyListenerOptions): Attach {
  const { openMs, own, standaloneOf, lose } = options;
  const known = new WeakMap<Session, Subscriptions>();

  function subscriptionsOf(session: Session): Subscriptions {
    const subscriptions = known.get(session) ?? createSubscriptions();
    known.set(session, subscriptions);
    return subscriptions;
  }

  async function ask(session: Session, method: string, uri: string, wanted: Wanted) {
    if (session.over.signal.aborted) return undefined;
    const scope = createScope(session.over.signal, openMs);
    try {
      const outcome = await own.ask(session, method, { uri }, wanted, scope);
      if (isLost(session, outcome)) await lose(wanted.sessionKey, session);
      if (outcome.answer === undefined) throw statusError(outcome);
      return outcome.answer;
    } finally {
      scope.close();
    }
  }

  /** false: the session was lost on the way, and nobody listens. */
  async function listen(
    session: Session,
    wanted: Wanted,
    [signal, onOpen]: [AbortSignal, Parameters<Attach>[2]],
    scope: Scope,
  ): Promise<boolean> {
    const { sessionKey, logLevel } = wanted;
    const subscriptions = subscriptionsOf(session);
    const subscribe = (uri: string) => subscribeLegacy((method) => ask(session, method, uri, wanted));
    const onGap = () => onOpen({ refused: new Map() });
    const { opened, leave } = standaloneOf(sessionKey, session).join({
      access: wanted,
      listener: wanted,
      onGap,
    });
    try {
      await scope.race(opened);
      if (logLevel !== undefined) await own.setLogLevel(session, logLevel, wanted, scope);
      const refused = await scope.race(subscriptions.want(wanted, subscribe));
      scope.close();
      if (session.over.signal.aborted) return false;
      onOpen({ refused });
      await aborted(signal, session.over.signal);
      return true;
    } catch (error) {
      if (session.over.signal.aborted) return false;
      throw error;
    } finally {
      leave();
      subscriptions.drop(wanted);
    }
  }

  return async (wanted, signal, onOpen) => {
    for (let tries = 0; tries < 2 && !signal.aborted; tries += 1) {
      const scope = createScope(signal, openMs);
      try {
        const hasListened = await options.with(wanted, scope, (session) =>
          listen(session, wanted, [signal, onOpen], scope),
        );
        if (hasListened) break;
      } finally {
        scope.close();
      }
    }
    return "ended";
  };
}
