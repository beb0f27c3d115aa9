import type { JsonObject } from "../lib/json.ts";
import { type Access, type Outcome, statusError } from "./http-call.ts";
import type { Attach, Wanted } from "./listening.ts";
import { createScope, type Scope } from "./scope.ts";
import type { Session } from "./session.ts";
import type { Standalone } from "./standalone.ts";
import { createUriSubscriptions, type UriSubscriptions } from "./uri-subscriptions.ts";
import { aborted } from "./watch.ts";

export interface LegacyListenerOptions {
  /** For opening the session and all that follows until it listens, milliseconds. */
  readonly openMs: number;
  with<T>(wanted: Wanted, scope: Scope, use: (session: Session) => Promise<T>): Promise<T>;
  standaloneOf(owner: string, session: Session): Standalone;
  setLogLevel(session: Session, level: string, access: Access, scope: Scope): Promise<Outcome | undefined>;
  tell(session: Session, method: string, params: JsonObject, access: Access, scope: Scope): Promise<Outcome>;
  isLost(session: Session, outcome: Outcome): boolean;
  lose(owner: string, session: Session): Promise<void>;
}

/** Listens in an owner's session: its GET stream, its subscriptions, its log level; until the session is over. */
export function createLegacyListener(options: LegacyListenerOptions): Attach {
  const { openMs, standaloneOf, setLogLevel, tell, isLost, lose } = options;
  const subscriptions = new WeakMap<Session, UriSubscriptions>();

  function subscriptionsOf(owner: string, session: Session, access: Access): UriSubscriptions {
    const known = subscriptions.get(session);
    if (known !== undefined) return known;
    const made = createUriSubscriptions(async (method, uri) => {
      if (session.over.signal.aborted) return undefined;
      const scope = createScope(session.over.signal, openMs);
      try {
        const outcome = await tell(session, method, { uri }, access, scope);
        if (isLost(session, outcome)) await lose(owner, session);
        if (outcome.answer === undefined) throw statusError(outcome);
        return outcome.answer;
      } finally {
        scope.close();
      }
    });
    subscriptions.set(session, made);
    return made;
  }

  /** false: the session was lost on the way, and nobody listens. */
  async function listen(
    session: Session,
    wanted: Wanted,
    [signal, onOpen]: [AbortSignal, Parameters<Attach>[2]],
    scope: Scope,
  ): Promise<boolean> {
    const { owner, uris, logLevel } = wanted;
    const wants = subscriptionsOf(owner, session, wanted);
    const onGap = () => onOpen({ refused: new Map() });
    const { opened, leave } = standaloneOf(owner, session).join({ access: wanted, listener: wanted, onGap });
    let subscribed: readonly string[] = [];
    try {
      await scope.race(opened);
      if (logLevel !== undefined) await setLogLevel(session, logLevel, wanted, scope);
      const refused = await scope.race(wants.add(uris));
      subscribed = uris.filter((uri) => !refused.has(uri));
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
      wants.remove(subscribed);
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
