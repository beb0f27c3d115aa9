import { type Definition, isRefusal, readDefinition } from "../catalog/definition.ts";
import type { Pin } from "../catalog/pins.ts";
import { assemble, type CatalogView } from "../catalog/view.ts";
import { labelsFrom } from "../compose/labels.ts";
import type { Config } from "../config/config.ts";

const NOBODY = {
  era: "legacy",
  protocolVersion: "",
  serverInfo: {},
  capabilities: { tools: {}, resources: {}, prompts: {} },
  instructions: "",
} as const;

/** The views of all virtual servers as the pins have them, so that no upstream has to run. */
export function pinnedViews(config: Config, pins: readonly Pin[]): ReadonlyMap<string, CatalogView> {
  const labels = labelsFrom(config);
  return new Map(
    Object.entries(config.servers).map(([server, { upstreams }]) => {
      const offers = upstreams.map((upstream) => ({
        upstream,
        identity: NOBODY,
        definitions: definitionsOf(upstream, pins),
        withheld: [],
      }));
      return [server, assemble(upstreams, offers, labels).view];
    }),
  );
}

function definitionsOf(upstream: string, pins: readonly Pin[]): readonly Definition[] {
  return pins
    .filter((pin) => pin.upstream === upstream)
    .map(({ kind, definition }) => readDefinition(kind, definition))
    .filter((read): read is Definition => !isRefusal(read));
}
