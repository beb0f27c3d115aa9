import type {
  Holder,
  Listening,
  ListenRequest,
  UpstreamIdentity,
  UpstreamReply,
  UpstreamRequest,
} from "../domain.ts";
import { PortcullisError } from "../lib/errors.ts";
import { createChildSubscriptions } from "./child-subscriptions.ts";
import type { Compartment } from "./compartment.ts";
import { announcedLists } from "./era.ts";
import { type Call, createHearers } from "./hearers.ts";
import { createLife, type Kin } from "./life.ts";
import { createScope, type Scope } from "./scope.ts";
import { askWithin, type Ready } from "./stdio-handshake.ts";
import { createTenure } from "./tenure.ts";

/** What one child at a time serves: started on first use, and again on next use after it ended. */
export interface Seat {
  identify(scope: Scope): Promise<UpstreamIdentity>;
  request(asked: UpstreamRequest, scope: Scope): Promise<UpstreamReply>;
  listen(request: ListenRequest): Promise<Listening>;
  /** This session no longer listens here, unless by that very request. */
  unlisten(sessionKey: string, except?: ListenRequest): void;
  /** One user's child may ask for its roots again. */
  rootsChanged(sessionKey: string): void;
  /** One user's child ends with the last session that used it. */
  release(sessionKey: string): Promise<void>;
  readonly holder: Holder;
  /** When it was last used; undefined where a call would suffer if it ended, or nothing could. */
  readonly idleSince: number | undefined;
  /** Whether someone waits to hear of a resource. */
  readonly isWatching: boolean;
  /** Nothing would be lost with it. */
  readonly isVacant: boolean;
  /** It may be started again. */
  end(): Promise<void>;
  /** The same, and nobody listens or owns it any more. */
  close(): Promise<void>;
}

export function createSeat(compartment: Compartment, kin: Kin): Seat {
  const { timeouts } = kin;
  const { oneUser } = compartment;
  const hearers = createHearers();
  const { calls, listeners } = hearers;
  const subscriptions = createChildSubscriptions(
    (request) => listeners.get(request.sessionKey) === request,
    timeouts.connectMs,
  );
  /** Of a child that ends with them. */
  const sessions = new Set<string>();
  let starts = 0;
  let level: string | undefined;

  const life = createLife(compartment, kin, {
    onReady(ready) {
      starts += 1;
      level = undefined;
      for (const { logLevel } of listeners.values()) setLevel(ready, logLevel);
      subscriptions.restore(ready);
      // Lists may have changed while no child could say so.
      if (compartment.gateways && starts > 1) announcedLists(ready.identity).forEach(kin.onChange);
      tenure.arm();
    },
    onLost: () => tenure.startAgain(timeouts.restart.firstMs),
    onNotification(method, params) {
      const known = method === "notifications/resources/updated" && subscriptions.updated(params);
      // On a shared child it may be about another user's call.
      if (!known && oneUser) hearers.tell(method, params);
    },
    onQuestion: hearers.ask,
  });
  const tenure = createTenure(compartment, kin, {
    life,
    isBusy: () => calls.size > 0,
    isWatched: () => subscriptions.size > 0,
  });

  function use(sessionKey: string, lease: UpstreamRequest["lease"]): void {
    if (oneUser) sessions.add(sessionKey);
    if (lease !== undefined) tenure.lend(lease);
    if (tenure.hasExpired)
      throw new PortcullisError("credential_unavailable", { reason: "the lease is over" });
  }

  /** One user's child says what its user last asked for; others are never asked to say anything. */
  function setLevel({ connection, identity }: Ready, wanted: string | undefined): void {
    if (!oneUser || wanted === undefined || wanted === level) return;
    if (identity.era !== "legacy" || identity.capabilities.logging === undefined) return;
    level = wanted;
    const ask = { method: "logging/setLevel", params: { level } };
    askWithin(connection, ask, timeouts.connectMs).catch(() => {});
  }

  async function request(asked: UpstreamRequest, scope: Scope): Promise<UpstreamReply> {
    use(asked.sessionKey, asked.lease);
    const call: Call = { asked, scope, questions: new Set() };
    calls.add(call);
    try {
      const ready = await scope.race(life.ready());
      setLevel(ready, asked.logLevel);
      const meta = ready.metaOf(oneUser ? asked : {});
      const ask = { ...asked, onAnswer: () => hearers.leave(call) };
      const { kind, text, isError } = await ready.connection.ask(ask, scope, meta);
      return { kind, text, isError, era: ready.identity.era };
    } finally {
      hearers.leave(call);
      tenure.used();
    }
  }

  /** A listener that waits for no resource needs no child: it hears what others' requests bring about. */
  async function listen(request: ListenRequest): Promise<Listening> {
    use(request.sessionKey, request.lease);
    const scope = createScope(request.signal, 3 * timeouts.connectMs);
    let refused: Listening["refused"] = new Map();
    try {
      if (scope.error !== undefined) throw scope.error;
      if (request.uris.length > 0) {
        const ready = await scope.race(life.ready());
        refused = await scope.race(subscriptions.want(ready, request));
      }
    } catch (error) {
      subscriptions.drop(request);
      throw error;
    } finally {
      scope.close();
    }
    replace(request);
    return { refused };
  }

  function replace(request: ListenRequest): void {
    const { sessionKey, logLevel, signal } = request;
    const before = listeners.get(sessionKey);
    listeners.set(sessionKey, request);
    if (before !== undefined) subscriptions.drop(before);
    const stop = () => {
      if (listeners.get(sessionKey) === request) unlisten(sessionKey);
    };
    signal.addEventListener("abort", stop, { once: true });
    if (life.isOn) life.ready().then((ready) => setLevel(ready, logLevel), stopWaiting);
    tenure.arm();
  }

  function unlisten(sessionKey: string, except?: ListenRequest): void {
    const request = listeners.get(sessionKey);
    if (request === undefined || request === except) return;
    listeners.delete(sessionKey);
    subscriptions.drop(request);
    tenure.arm();
  }

  return {
    identify: async (scope) => (await scope.race(life.ready())).identity,
    request,
    listen,
    unlisten,
    rootsChanged(sessionKey) {
      if (!sessions.has(sessionKey) || !life.isOn) return;
      life.ready().then(({ connection, identity }) => {
        if (identity.era === "legacy") connection.notify("notifications/roots/list_changed");
      }, stopWaiting);
    },
    async release(sessionKey) {
      unlisten(sessionKey);
      if (sessions.delete(sessionKey) && sessions.size === 0) await tenure.end();
    },
    holder: compartment.holder,
    get idleSince() {
      return calls.size === 0 && life.isOn ? tenure.usedAt : undefined;
    },
    get isWatching() {
      return subscriptions.size > 0;
    },
    get isVacant() {
      // The gateway's own remembers that its lists were read.
      if (compartment.gateways && compartment.env.size === 0) return false;
      return calls.size === 0 && listeners.size === 0 && life.isOver;
    },
    end: tenure.end,
    async close() {
      for (const sessionKey of [...listeners.keys()]) unlisten(sessionKey);
      sessions.clear();
      await tenure.end();
    },
  };
}

/** Who starts the child hears why it did not. */
function stopWaiting(): void {}
