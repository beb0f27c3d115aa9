import { type Catalog, createCatalog } from "../catalog/catalog.ts";
import { createFilePins, type PinStore } from "../catalog/pins.ts";
import type { Upstream } from "../domain.ts";
import { createSchemas, type Schemas } from "../gate/schemas.ts";
import type { Ground } from "./ground.ts";
import { labelsFrom } from "./labels.ts";

/** Milliseconds between discoveries of an upstream that announces no changes. */
const REFRESH_MS = 300_000;

/** What there is to ask for. Nothing is discovered before its `start`. */
export function openCatalog(
  { config, log, closing }: Ground,
  upstreams: ReadonlyMap<string, Upstream>,
): { readonly catalog: Catalog; readonly pins: PinStore; readonly schemas: Schemas } {
  const pins = createFilePins(config.pins.path);
  const servers = Object.entries(config.servers).map(([name, server]) => [name, server.upstreams] as const);
  const catalog = createCatalog({
    servers: Object.fromEntries(servers),
    upstreams,
    labels: labelsFrom(config),
    pins,
    log,
    refreshMs: REFRESH_MS,
  });
  closing.add(catalog, (opened) => opened.close());
  const schemas = createSchemas();
  // Compiled as they appear, so that no request waits for it.
  catalog.onChange((server) => {
    for (const target of catalog.view(server).targets) schemas.of(target);
  });
  return { catalog, pins, schemas };
}
