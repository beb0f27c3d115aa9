import type { Labels } from "../catalog/view.ts";
import type { Config } from "../config/config.ts";
import type { TargetKind } from "../domain.ts";
import { readUri } from "../lib/uri.ts";

type Settings = Config["upstreams"][string];
type Own = ReadonlyMap<string, readonly string[]>;

/** The labels of a target: those of its upstream, and its own. */
export function labelsFrom({ upstreams }: Pick<Config, "upstreams">): Labels {
  const known = new Map(Object.entries(upstreams).map(([name, settings]) => [name, ownOf(settings)]));
  return (upstream, kind, name) => {
    const settings = Object.hasOwn(upstreams, upstream) ? upstreams[upstream] : undefined;
    return [...(settings?.labels ?? []), ...(known.get(upstream)?.get(kind)?.get(name) ?? [])];
  };
}

function ownOf({ targets, resources, templates, prompts }: Settings): ReadonlyMap<TargetKind, Own> {
  const own = (entries: Settings["targets"], nameOf = (key: string) => key): Own =>
    new Map(Object.entries(entries).map(([key, { labels }]) => [nameOf(key), labels]));
  return new Map([
    ["tool", own(targets)],
    ["resource", own(resources, canonical)],
    ["template", own(templates)],
    ["prompt", own(prompts)],
  ]);
}

/** However it is written in the configuration, it is the resource of that URI. */
function canonical(uri: string): string {
  const read = readUri(uri);
  return read.ok ? read.uri : uri;
}
