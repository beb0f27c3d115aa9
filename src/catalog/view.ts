import type { ListedKind, QuestionKind, Target, UpstreamIdentity } from "../domain.ts";
import { digest, isJsonObject } from "../lib/json.ts";
import { LRUCache } from "../lib/lru.ts";
import { scalarIn } from "../lib/members.ts";
import { readUri } from "../lib/uri.ts";
import { readTemplate } from "../lib/uri-template.ts";
import { type Addresses, createAddresses, type ResourceAddress, type Withheld } from "./addresses.ts";
import type { Definition, Refusal } from "./definition.ts";
import { LISTED_KINDS, PRINTABLE_NAME, TOOL_NAME } from "./kinds.ts";
import { exposedName, exposedUri, upstreamUri } from "./names.ts";
import { type Labels, listedTarget, unlistedTarget } from "./target.ts";

export type { Labels, ResourceAddress };

/** The targets of one virtual server at one moment. Immutable: a change is another view. */
export interface CatalogView {
  /** In the order of the configured upstreams, then by kind, then by name. */
  readonly targets: readonly Target[];
  of(kind: ListedKind): readonly Target[];
  /** By the exact exposed name. */
  find(kind: ListedKind, exposedName: string): Target | undefined;
  /** Where a URI leads; undefined: it is no absolute URI, or no upstream of this server has it. */
  resource(exposedUri: string): ResourceAddress | undefined;
  /** How many characters it takes to find where a URI leads. */
  effort(exposedUri: string): number;
  /** An upstream's URI as this virtual server exposes it; undefined: it cannot be. */
  exposeUri(upstream: string, uri: string): string | undefined;
  /** What is asked of an upstream beyond what it lists: itself, or its questions. */
  own(upstream: string, kind: "server" | QuestionKind): Target;
  /** Who answers, of the upstreams that do. */
  readonly upstreams: ReadonlyMap<string, UpstreamIdentity>;
  readonly digest: string;
}

/** What one upstream brings to a view. */
export interface Offer {
  readonly upstream: string;
  readonly identity: UpstreamIdentity;
  readonly definitions: readonly Definition[];
  readonly withheld: readonly Withheld[];
}

/** A target that a view leaves out. */
export type LeftOut = Refusal & { readonly upstream: string };

export interface Assembled {
  readonly view: CatalogView;
  readonly leftOut: readonly LeftOut[];
}

/** Targets of resources that nothing lists: kept, so that caches by object hold. */
const UNANNOUNCED = 10_000;
/** Characters of listed URIs matched against templates. One upstream must not hold up all others. */
const MATCHING = 4 << 20;

/** Targets that have not changed stay the same objects, and so does a view in which nothing changed. */
export function assemble(
  names: readonly string[],
  offers: readonly Offer[],
  labels: Labels,
  before?: Assembled,
): Assembled {
  const candidates = offers.flatMap((offer) => targetsOf(names, offer, labels, before?.view));
  const viewDigest = digest([
    offers.map(({ upstream, identity, withheld }) => [
      upstream,
      { ...identity },
      withheld.map(({ kind, name }) => [kind, name]),
    ]),
    candidates.map((target) => [target.exposedName, target.digest]),
  ]);
  if (before?.view.digest === viewDigest) return before;

  const unfit = misnamed(candidates);
  const fit = candidates.filter((target) => !unfit.has(target));
  const addresses = addressesOf(names, offers, labels, { fit, unfit });
  for (const [target, reason] of unreachable(fit, offers, addresses)) unfit.set(target, reason);
  const targets = fit.filter((target) => !unfit.has(target));
  const leftOut = [...unfit].map(([{ upstream, kind, name }, reason]) => ({
    upstream,
    kind: kind as ListedKind,
    name,
    reason,
  }));
  return { view: viewOf(names, { targets, offers, addresses, labels, viewDigest }), leftOut };
}

interface Parts {
  readonly targets: readonly Target[];
  readonly offers: readonly Offer[];
  readonly addresses: ReadonlyMap<string, Addresses>;
  readonly labels: Labels;
  readonly viewDigest: string;
}

function viewOf(
  names: readonly string[],
  { targets, offers, addresses, labels, viewDigest }: Parts,
): CatalogView {
  const lists = new Map(
    LISTED_KINDS.map(
      (kind) => [kind, Object.freeze(targets.filter((target) => target.kind === kind))] as const,
    ),
  );
  const byName = new Map(
    [...lists].map(([kind, some]) => [kind, new Map(some.map((target) => [target.exposedName, target]))]),
  );
  const owned = new Map<string, Target>();
  return Object.freeze({
    targets: Object.freeze(targets),
    of: (kind: ListedKind) => lists.get(kind) ?? [],
    find: (kind: ListedKind, name: string) => byName.get(kind)?.get(name),
    resource(uri: string) {
      const own = upstreamUri(names, uri);
      return own && addresses.get(own.upstream)?.find(own.uri);
    },
    effort(uri: string) {
      const own = upstreamUri(names, uri);
      const read = readUri(own?.uri ?? "");
      return own && read.ok ? (addresses.get(own.upstream)?.effort(read.uri) ?? 0) : 0;
    },
    exposeUri: (upstream: string, uri: string) => exposedUri(names, upstream, uri),
    own(upstream: string, kind: "server" | QuestionKind) {
      const key = `${kind} ${upstream}`;
      const target = owned.get(key) ?? unlistedTarget({ upstream, kind, name: "" }, "", labels);
      owned.set(key, target);
      return target;
    },
    upstreams: new Map(offers.map(({ upstream, identity }) => [upstream, identity])),
    digest: viewDigest,
  });
}

function targetsOf(
  names: readonly string[],
  { upstream, definitions }: Offer,
  labels: Labels,
  before: CatalogView | undefined,
): readonly Target[] {
  const expose = (uri: string) => exposedUri(names, upstream, uri);
  return [...definitions].sort(inOrder).map((definition) => {
    const { kind, members, name } = definition;
    // A resource is exposed as it is listed, whatever its canonical spelling.
    const shown = kind === "resource" ? String(scalarIn(members.get("uri")) ?? "") : name;
    const exposed = exposedName(names, upstream, kind, shown);
    const target = listedTarget({ upstream, exposedName: exposed }, definition, labels, expose);
    const known = before?.find(kind, exposed);
    return known?.digest === target.digest ? known : target;
  });
}

/** What cannot have its exposed name, and why. */
function misnamed(targets: readonly Target[]): Map<Target, string> {
  const keyOf = ({ kind, exposedName: exposed }: Target) => `${kind} ${exposed}`;
  const count = new Map<string, number>();
  for (const target of targets) count.set(keyOf(target), (count.get(keyOf(target)) ?? 0) + 1);
  const found = new Map<Target, string>();
  for (const target of targets) {
    const exposed = target.exposedName;
    if (!canBeExposed(target)) found.set(target, `its exposed name ${exposed} is too long`);
    else if (count.get(keyOf(target)) !== 1) found.set(target, `its exposed name ${exposed} is not unique`);
  }
  return found;
}

function canBeExposed({ kind, name, exposedName: exposed }: Target): boolean {
  if (kind === "tool") return TOOL_NAME.test(exposed);
  if (kind === "prompt") return PRINTABLE_NAME.test(exposed);
  if (exposed === name) return true;
  return kind === "resource" ? readUri(exposed).ok : readTemplate(exposed).ok;
}

function addressesOf(
  names: readonly string[],
  offers: readonly Offer[],
  labels: Labels,
  { fit, unfit }: { readonly fit: readonly Target[]; readonly unfit: ReadonlyMap<Target, string> },
): ReadonlyMap<string, Addresses> {
  // What an upstream without resources is asked for leads nowhere.
  const readable = offers.filter(({ identity }) => isJsonObject(identity.capabilities.resources));
  return new Map(
    readable.map(({ upstream, withheld }) => {
      const own = fit.filter((target) => target.upstream === upstream);
      const kept = new LRUCache<string, Target>({ max: UNANNOUNCED });
      const addresses = createAddresses({
        upstream,
        resources: own.filter(({ kind }) => kind === "resource"),
        templates: own.filter(({ kind }) => kind === "template"),
        withheld: [
          ...withheld,
          ...[...unfit.keys()].filter((one) => one.upstream === upstream).map(asWithheld),
        ],
        unannounced(uri) {
          const known = kept.get(uri);
          if (known !== undefined) return known;
          const exposed = exposedUri(names, upstream, uri) ?? "";
          const target = unlistedTarget({ upstream, kind: "resource", name: uri }, exposed, labels);
          kept.set(uri, target);
          return target;
        },
      });
      return [upstream, addresses] as const;
    }),
  );
}

function asWithheld({ kind, name }: Target): Withheld {
  return { kind: kind as ListedKind, name };
}

/** Listed resources whose URI leads nowhere: what is listed can be asked for. */
function unreachable(
  targets: readonly Target[],
  offers: readonly Offer[],
  addresses: ReadonlyMap<string, Addresses>,
): ReadonlyMap<Target, string> {
  const found = new Map<Target, string>();
  for (const { upstream } of offers) {
    const own = targets.filter((target) => target.upstream === upstream);
    let left = MATCHING;
    for (const target of own.filter(({ kind }) => kind === "resource")) {
      left -= addresses.get(upstream)?.effort(target.name) ?? 0;
      if (left < 0) found.set(target, "there are too many resources and templates to match");
      else if (addresses.get(upstream)?.find(target.name) === undefined)
        found.set(target, "a template that is withheld matches it, or one that can be read in several ways");
    }
  }
  return found;
}

function inOrder(a: Definition, b: Definition): number {
  const byKind = LISTED_KINDS.indexOf(a.kind) - LISTED_KINDS.indexOf(b.kind);
  return byKind !== 0 ? byKind : a.name < b.name ? -1 : 1;
}
