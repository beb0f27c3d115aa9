import type { Labels } from "../catalog/view.ts";
import type { Config } from "../config/config.ts";

/** The labels of a target: those of its upstream, and its own. */
export function labelsFrom({ upstreams }: Pick<Config, "upstreams">): Labels {
  return (upstream, _kind, name) => {
    const settings = upstreams[upstream];
    if (settings === undefined) return [];
    const own = Object.hasOwn(settings.targets, name) ? settings.targets[name] : undefined;
    return [...settings.labels, ...(own?.labels ?? [])];
  };
}
