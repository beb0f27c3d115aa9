import type { CatalogView } from "../catalog/view.ts";
import type { ClientAnswer, Grant, Listed, ListedKind, ListenRequest, Question, Target } from "../domain.ts";
import { PortcullisError } from "../lib/errors.ts";
import { digest } from "../lib/json.ts";
import { joinMembers, membersOf } from "../lib/members.ts";
import { type Hearer, hearing } from "./hearer.ts";
import { canBeAsked } from "./interaction.ts";
import { listedDefinition, usableOf } from "./list.ts";
import { readable } from "./resources.ts";
import type { Rooms } from "./rooms.ts";

/** What a client wants to hear outside of its requests. */
export interface Wants {
  readonly lists: ReadonlySet<Listed>;
  /** Resources, by their exposed URIs. */
  readonly uris: ReadonlySet<string>;
  /** The least severe log message; undefined: none. */
  readonly logLevel: string | undefined;
}

/**
 * What one client hears outside of its requests. Everything is decided again when it arrives, by the policies of that
 * moment: nothing about a target reaches who could not use it now.
 */
export interface Feed {
  /** Resolves when every upstream was told; gives the upstreams' own errors by exposed URI. */
  want(wants: Wants): Promise<ReadonlyMap<string, string>>;
  close(): void;
}

export interface FeedOptions {
  readonly hearer: Hearer;
  deliver(method: string, params: string): void;
  /** A question that belongs to no request; absent: nobody can be asked. */
  ask?(upstream: string, question: Question, signal: AbortSignal): Promise<ClientAnswer>;
}

const NOTHING: Wants = { lists: new Set(), uris: new Set(), logLevel: undefined };
const KINDS: Readonly<Record<Listed, readonly ListedKind[]>> = {
  tools: ["tool"],
  resources: ["resource", "template"],
  prompts: ["prompt"],
};

export function openFeed(rooms: Rooms, { hearer, deliver, ask }: FeedOptions): Feed {
  const channels = new Map<string, Channel>();
  let wants = NOTHING;
  let shown = new Map<Listed, string>();
  let closed = false;
  const stopWatching = rooms.onChange(hearer.server, changed);

  function changed(): void {
    if (closed) return;
    const now = listsOf(wants.lists);
    for (const what of wants.lists) {
      if (now.get(what) !== shown.get(what)) deliver(`notifications/${what}/list_changed`, "{}");
    }
    shown = now;
    tune().catch((err: unknown) => rooms.operations.warn({ err }, "an upstream is not heard any more"));
  }

  /** What each list says to this client: it is told of a change only where its own list changed. */
  function listsOf(lists: ReadonlySet<Listed>): Map<Listed, string> {
    const deciding = hearing(rooms, hearer);
    const view = rooms.catalog.view(hearer.server);
    const textsOf = (what: Listed) =>
      KINDS[what].flatMap((kind) =>
        usableOf(kind, deciding, rooms, view).map((usable) => listedDefinition(usable, "modern")),
      );
    return new Map([...lists].map((what) => [what, digest(textsOf(what))]));
  }

  /** Listens to each upstream for what this client may hear of it, and to no other. */
  async function tune(): Promise<ReadonlyMap<string, string>> {
    const view = rooms.catalog.view(hearer.server);
    const refused = new Map<string, string>();
    const wanted = new Map(
      [...view.upstreams.keys()].map((upstream) => [upstream, wantedOf(upstream, view)]),
    );
    for (const [upstream, channel] of channels) {
      if (wanted.get(upstream)?.key === channel.key) continue;
      channels.delete(upstream);
      // Where something else is wanted, the next `listen` of this owner takes its place without a gap.
      if (wanted.get(upstream) === undefined) channel.stop.abort();
    }
    await Promise.all(
      [...wanted].map(async ([upstream, one]) => {
        if (one === undefined || channels.has(upstream)) return;
        const channel = { key: one.key, stop: new AbortController() };
        channels.set(upstream, channel);
        for (const [uri, error] of await listen(upstream, one, channel.stop.signal)) {
          const exposed = view.exposeUri(upstream, uri);
          if (exposed !== undefined) refused.set(exposed, error);
        }
      }),
    );
    return refused;
  }

  function wantedOf(upstream: string, view: CatalogView): Wanted | undefined {
    const deciding = hearing(rooms, hearer);
    const grantOf = (target: Target): Grant | undefined => {
      const [capability] = rooms.capabilities.of(deciding.policy, deciding.context, [target]);
      const decision = capability?.decide({}, deciding.policy.requirements(deciding.context, target));
      return decision?.effect === "allow" ? decision.grant : undefined;
    };
    const server = grantOf(view.own(upstream, "server"));
    const uris = [...wants.uris].flatMap((exposed) => {
      const address = view.resource(exposed);
      return address?.upstream === upstream && readable(deciding, rooms, view, exposed) ? [address.uri] : [];
    });
    const logLevel = server === undefined ? undefined : wants.logLevel;
    const asks = ask !== undefined && canBeAsked(hearer.clientCapabilities) && server !== undefined;
    if (uris.length === 0 && logLevel === undefined && !asks) return undefined;
    return { key: digest([uris, logLevel ?? "", asks]), uris, logLevel, asks, grant: server };
  }

  async function listen(
    upstream: string,
    wanted: Wanted,
    signal: AbortSignal,
  ): Promise<ReadonlyMap<string, string>> {
    const room = rooms.upstreams.get(upstream);
    if (room === undefined) return new Map();
    const lease = await rooms.credentials.obtain(
      wanted.grant?.credential ?? null,
      hearer.identity.principal,
      {
        decisionId: hearer.decisionId,
        upstream,
        server: hearer.server,
        revision: hearing(rooms, hearer).policy.revision,
      },
    );
    const request: ListenRequest = {
      owner: hearer.owner,
      clientInfo: hearer.clientInfo,
      clientCapabilities: hearer.clientCapabilities,
      who: hearer.who,
      decisionId: hearer.decisionId,
      credential: lease.headers,
      lease,
      uris: wanted.uris,
      ...(wanted.logLevel !== undefined && { logLevel: wanted.logLevel }),
      signal,
      onNotification: (method, params) => receive(upstream, method, params),
      ...(wanted.asks && ask && { onQuestion: (question, ended) => ask(upstream, question, ended) }),
    };
    const { refused } = await room.listen(request);
    return refused;
  }

  function receive(upstream: string, method: string, params: string): void {
    if (closed) return;
    const heard = mayHear(upstream, method, params);
    if (heard !== undefined) deliver(method, heard);
    else rooms.operations.debug({ upstream, method: method.slice(0, 64) }, "dropped a notification");
  }

  /** The notification as this client may hear it; undefined: it may not, or nobody here knows what it says. */
  function mayHear(upstream: string, method: string, params: string): string | undefined {
    const view = rooms.catalog.view(hearer.server);
    const deciding = hearing(rooms, hearer);
    if (method === "notifications/resources/updated") {
      const members = membersOf(params);
      const uri: unknown = JSON.parse(members.get("uri") ?? "null");
      const exposed = typeof uri === "string" ? view.exposeUri(upstream, uri) : undefined;
      if (exposed === undefined || !readable(deciding, rooms, view, exposed)) return undefined;
      return exposed === uri ? params : joinMembers(members.set("uri", JSON.stringify(exposed)));
    }
    if (method !== "notifications/message" && method !== "notifications/elicitation/complete")
      return undefined;
    const [own] = rooms.capabilities.of(deciding.policy, deciding.context, [view.own(upstream, "server")]);
    return own?.listed === true ? params : undefined;
  }

  return {
    async want(next) {
      if (closed) throw new PortcullisError("cancelled");
      wants = next;
      shown = listsOf(next.lists);
      return tune();
    },
    close() {
      closed = true;
      stopWatching();
      for (const { stop } of channels.values()) stop.abort();
      channels.clear();
    },
  };
}

interface Channel {
  readonly key: string;
  readonly stop: AbortController;
}

interface Wanted {
  /** Equal where nothing has to be told anew. */
  readonly key: string;
  readonly uris: readonly string[];
  readonly logLevel: string | undefined;
  readonly asks: boolean;
  readonly grant: Grant | undefined;
}
