import type { Target, TargetKind, UpstreamIdentity } from "../domain.ts";
import { digest, sha256 } from "../lib/json.ts";
import { type Definition, type Refusal, TARGET_NAME } from "./definition.ts";
import { exposedName } from "./names.ts";

/** The targets of one virtual server at one moment. Immutable: a change is another view. */
export interface CatalogView {
  /** In the order of the configured upstreams, then by name. */
  readonly targets: readonly Target[];
  /** By the exact exposed name. */
  find(exposedName: string): Target | undefined;
  /** Who answers, of the upstreams that do. */
  readonly upstreams: ReadonlyMap<string, UpstreamIdentity>;
  readonly digest: string;
}

export type Labels = (upstream: string, kind: TargetKind, name: string) => readonly string[];

/** What one upstream brings to a view. */
export interface Offer {
  readonly upstream: string;
  readonly identity: UpstreamIdentity;
  readonly definitions: readonly Definition[];
}

export interface Assembled {
  readonly view: CatalogView;
  readonly leftOut: readonly Refusal[];
}

/** Targets that have not changed stay the same objects, and so does a view in which nothing changed. */
export function assemble(
  names: readonly string[],
  offers: readonly Offer[],
  labels: Labels,
  before?: CatalogView,
): Assembled {
  const all = offers.flatMap(({ upstream, definitions }) =>
    [...definitions].sort(byName).map((definition) => targetOf(names, upstream, definition, labels, before)),
  );
  const count = new Map<string, number>();
  for (const target of all) count.set(target.exposedName, (count.get(target.exposedName) ?? 0) + 1);
  const problem = (target: Target): string | undefined => {
    if (!TARGET_NAME.test(target.exposedName)) return `its exposed name ${target.exposedName} is too long`;
    return count.get(target.exposedName) === 1
      ? undefined
      : `its exposed name ${target.exposedName} is not unique`;
  };
  const targets = all.filter((target) => problem(target) === undefined);
  const leftOut = all.flatMap((target) => {
    const reason = problem(target);
    return reason === undefined ? [] : [{ name: `${target.upstream}: ${target.name}`, reason }];
  });
  return { view: viewOf(targets, offers, before), leftOut };
}

function viewOf(
  targets: readonly Target[],
  offers: readonly Offer[],
  before: CatalogView | undefined,
): CatalogView {
  const upstreams = new Map(offers.map(({ upstream, identity }) => [upstream, identity]));
  const identities = offers.map(({ upstream, identity }) => [upstream, digest({ ...identity })]);
  const viewDigest = digest([identities, targets.map((target) => [target.exposedName, target.digest])]);
  if (before?.digest === viewDigest) return before;
  const byExposedName = new Map(targets.map((target) => [target.exposedName, target]));
  return Object.freeze({
    targets: Object.freeze(targets),
    find: (name: string) => byExposedName.get(name),
    upstreams,
    digest: viewDigest,
  });
}

function targetOf(
  names: readonly string[],
  upstream: string,
  definition: Definition,
  labels: Labels,
  before: CatalogView | undefined,
): Target {
  const { name, members, inputSchema, announced, paramHeaders } = definition;
  const sorted = [...new Set(labels(upstream, "tool", name))].sort();
  const exposed = exposedName(names, upstream, name);
  const targetDigest = sha256(JSON.stringify([upstream, "tool", name, sorted, definition.digest]));
  const known = before?.find(exposed);
  if (known?.digest === targetDigest) return known;
  return Object.freeze({
    upstream,
    kind: "tool",
    name,
    labels: Object.freeze(sorted),
    announced,
    exposedName: exposed,
    definition: members,
    inputSchema,
    paramHeaders,
    digest: targetDigest,
  });
}

function byName(a: Definition, b: Definition): number {
  return a.name < b.name ? -1 : 1;
}
