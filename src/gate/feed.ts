import type { ClientAnswer, Era, Listed, Question } from "../domain.ts";
import { taskIdOf } from "../protocol/tasks.ts";
import { type Channel, openChannel } from "./channel.ts";
import { capabilityOf } from "./decision.ts";
import { heard } from "./hear.ts";
import { type Hearer, hearing } from "./hearer.ts";
import { createInTurn } from "./in-turn.ts";
import { canBeAsked } from "./interaction.ts";
import { principalKeyOf } from "./principal.ts";
import type { Rooms } from "./rooms.ts";
import { createShownLists } from "./shown-lists.ts";
import { makerOf, toolOf } from "./task-store.ts";
import { type Tuning, tuningOf } from "./tuning.ts";

/** What a client wants to hear outside of its requests. */
export interface Wants {
  readonly lists: ReadonlySet<Listed>;
  /** Resources, by their exposed URIs. */
  readonly uris: ReadonlySet<string>;
  /** The least severe log message; undefined: it did not say. */
  readonly logLevel: string | undefined;
}

/**
 * What one client hears outside of its requests. Everything is decided again when it arrives, by the policies of that
 * moment: nothing about a target reaches who could not use it now.
 */
export interface Feed {
  /** Resolves when every upstream was told, or could not be: that is tried again. */
  want(wants: Wants): Promise<void>;
  /** Tells at once of lists whose change would be told in its turn. Never throws. */
  settle(): void;
  close(): void;
}

export interface FeedOptions {
  readonly hearer: Hearer;
  readonly era: Era;
  deliver(method: string, params: string): void;
  /** A question that belongs to no request; absent: nobody can be asked. */
  ask?(upstream: string, question: Question, signal: AbortSignal): Promise<ClientAnswer>;
}

const NOTHING: Wants = { lists: new Set(), uris: new Set(), logLevel: undefined };

export function openFeed(rooms: Rooms, { hearer, era, deliver, ask }: FeedOptions): Feed {
  const channels = new Map<string, Channel>();
  let wants = NOTHING;
  const lists = createShownLists(rooms, hearer, era, (what) =>
    deliver(`notifications/${what}/list_changed`, "{}"),
  );
  const stopWatching = rooms.onChange(hearer.server, changed);
  let closed = false;
  /** What is looked up before it may be told is told in the order in which it came. */
  const lookedUp = createInTurn();

  function changed(): void {
    lists.tell();
    void tune();
  }

  /** Listens to each upstream for what this client may hear of it, and to no other. */
  async function tune(): Promise<void> {
    const view = rooms.catalog.view(hearer.server);
    const tuner = {
      deciding: hearing(rooms, hearer),
      view,
      era,
      uris: wants.uris,
      logLevel: wants.logLevel,
      canBeAsked: ask !== undefined && canBeAsked(hearer.clientCapabilities),
    };
    for (const upstream of new Set([...channels.keys(), ...view.upstreams.keys()]))
      replace(upstream, tuningOf(tuner, rooms, upstream));
    await Promise.all([...channels.values()].map(({ tried }) => tried));
  }

  function replace(upstream: string, tuning: Tuning | undefined): void {
    const before = channels.get(upstream);
    if (before?.key === tuning?.key) return;
    if (tuning === undefined) {
      channels.delete(upstream);
      before?.close();
      return;
    }
    const channel = openChannel(rooms, {
      upstream,
      hearer,
      tuning,
      receive: (method, params) => receive(upstream, method, params),
      ask: (question, ended) =>
        ask?.(upstream, question, ended) ?? Promise.reject(new Error("nobody is asked")),
    });
    channels.set(upstream, channel);
    // The new one takes the place of the last at the upstream without a gap.
    if (before !== undefined) void channel.tried.then(() => before.close());
  }

  function receive(upstream: string, method: string, params: string): void {
    if (closed) return;
    if (method !== "notifications/tasks/status" || era !== "legacy")
      tell(upstream, method, mayHear(upstream, method, params));
    else if (lookedUp.isFull()) tell(upstream, method, undefined);
    else
      lookedUp.add(params, async () => {
        const isOwn = await isOwnTask(upstream, params).catch(() => false);
        tell(upstream, method, isOwn ? params : undefined);
      });
  }

  function tell(upstream: string, method: string, passed: string | undefined): void {
    if (passed === undefined)
      rooms.log.debug({ upstream, method: method.slice(0, 64) }, "dropped a notification");
    else if (!closed) deliver(method, passed);
  }

  /** Of a call that this client made and could make now. */
  async function isOwnTask(upstream: string, params: string): Promise<boolean> {
    const maker = makerOf(principalKeyOf(hearer.identity), hearer.server);
    const entry = await rooms.tasks.find(maker, taskIdOf(params));
    if (entry?.upstream !== upstream) return false;
    const target = toolOf(entry, era, rooms.catalog.view(hearer.server));
    const deciding = hearing(rooms, hearer);
    return target !== undefined && capabilityOf(deciding, rooms, target).admits(entry.arguments);
  }

  function mayHear(upstream: string, method: string, params: string): string | undefined {
    const deciding = hearing(rooms, hearer);
    const view = rooms.catalog.view(hearer.server);
    try {
      return heard({ deciding, view, upstream, era, logLevel: wants.logLevel }, rooms, method, params);
    } catch {
      return undefined;
    }
  }

  return {
    want(next) {
      wants = next;
      lists.watch(next.lists);
      return closed ? Promise.resolve() : tune();
    },
    settle() {
      try {
        lists.tell();
      } catch (err) {
        rooms.log.warn({ err }, "a change was not noticed");
      }
    },
    close() {
      closed = true;
      stopWatching();
      for (const channel of channels.values()) channel.close();
      channels.clear();
      if (hearer.ownsSessions)
        for (const upstream of rooms.catalog.view(hearer.server).upstreams.keys())
          rooms.upstreams
            .get(upstream)
            ?.release(hearer.sessionKey)
            .catch((err: unknown) => rooms.log.warn({ err }, "an upstream session was not ended"));
    },
  };
}
