import type { CatalogView } from "../catalog/view.ts";
import type { CallDecision, CredentialChoice, Era } from "../domain.ts";
import { canonicalJson, digest, isJsonObject } from "../lib/json.ts";
import { ALL_HOLD } from "../policy/requirements.ts";
import { type Deciding, decide, decideUnder } from "./decision.ts";
import { readable } from "./resources.ts";
import type { Rooms } from "./rooms.ts";

/** What one upstream is listened to for, on behalf of one client. */
export interface Tuning {
  /** Equal where nothing has to be told anew. */
  readonly key: string;
  /** As the upstream knows them. */
  readonly uris: readonly string[];
  readonly logLevel: string | undefined;
  readonly asks: boolean;
  readonly credential: CredentialChoice | null;
}

/** What a client would hear if it may, and what decides whether it may. */
export interface Tuner {
  readonly deciding: Deciding;
  readonly view: CatalogView;
  readonly era: Era;
  /** Resources, by their exposed URIs. */
  readonly uris: ReadonlySet<string>;
  readonly logLevel: string | undefined;
  readonly canBeAsked: boolean;
}

/** For what this client may hear of the upstream; undefined: it is not listened to. */
export function tuningOf(
  tuner: Tuner,
  rooms: Pick<Rooms, "capabilities">,
  upstream: string,
): Tuning | undefined {
  const { deciding, view } = tuner;
  if (!view.upstreams.has(upstream)) return undefined;
  const server = decide(deciding, rooms, [{ target: view.own(upstream, "server"), arguments: {} }]);
  const isOpen = server.effect === "allow";
  const logLevel = isOpen ? tuner.logLevel : undefined;
  const asks = isOpen && tuner.canBeAsked;
  const { uris, credential } = listenedTo(tuner, rooms, upstream, credentialOf(server));
  const follows = isOpen && tuner.era === "legacy" && hasLegacyTasks(view, upstream);
  if (uris.length === 0 && logLevel === undefined && !asks && !follows) return undefined;
  // Under another revision it listens with another lease.
  const under =
    credential === null ? "" : canonicalJson([{ ...credential }, { ...deciding.policy.revision }]);
  return { key: digest([uris, logLevel ?? "", asks, follows, under]), uris, logLevel, asks, credential };
}

/** One credential listens: what only another one may hear of is left out. */
function listenedTo(
  { deciding, view, uris: wanted }: Tuner,
  rooms: Pick<Rooms, "capabilities">,
  upstream: string,
  first: CredentialChoice | null,
): Pick<Tuning, "uris" | "credential"> {
  let credential = first;
  const uris = [...wanted].flatMap((exposed) => {
    const address = view.resource(exposed);
    if (address?.upstream !== upstream || !readable(deciding, rooms, view, exposed)) return [];
    const own = credentialOf(decideUnder(deciding, rooms, address.matches, () => ALL_HOLD));
    credential ??= own;
    return own === null || canonicalJson({ ...own }) === canonicalJson({ ...credential })
      ? [address.uri]
      : [];
  });
  return { uris, credential };
}

function hasLegacyTasks(view: CatalogView, upstream: string): boolean {
  const identity = view.upstreams.get(upstream);
  return identity?.era === "legacy" && isJsonObject(identity.capabilities.tasks);
}

function credentialOf(decision: CallDecision): CredentialChoice | null {
  return decision.effect === "allow" ? decision.grant.credential : null;
}
