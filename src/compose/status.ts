import type { Catalog } from "../catalog/catalog.ts";
import type { Config } from "../config/config.ts";
import type { Note, TenantRevision } from "../gate/schemas.ts";
import type { PolicyStatus } from "../policy/store.ts";
import type { Suspension } from "../suspension/suspensions.ts";
import type { Opened } from "./rooms.ts";

export interface GatewayStatus {
  readonly url: string;
  /** Why it cannot serve; empty when it can. */
  readonly ready: readonly string[];
  readonly policies: PolicyStatus;
  readonly catalog: ReturnType<Catalog["status"]>;
  /** Schemas that are invalid, keywords that are left to the upstream, and mistakes of policies, by target. */
  readonly schemas: readonly Note[];
  readonly sessions: number;
  /** Tenants that are served nothing. */
  readonly suspended: readonly Suspension[];
}

export interface Status {
  ready(): readonly string[];
  status(): GatewayStatus;
}

/** How the rooms are, for probes and for operators. */
export function statusOf(
  config: Pick<Config, "listen" | "servers">,
  { rooms, store, catalog, policies, schemas, suspensions }: Opened,
): Status {
  const ready = () => [
    ...(rooms.decisions.healthy ? [] : ["the decision log cannot be written"]),
    ...(policies.status().platform.revision === null ? ["no policy is loaded"] : []),
    ...(store.healthy ? [] : ["the session store does not answer"]),
  ];
  /** What several virtual servers show is one target. */
  const targetsOnce = () => {
    const shown = Object.keys(config.servers).flatMap((name) => catalog.view(name).targets);
    return [...new Map(shown.map((target) => [target.digest, target])).values()];
  };
  const isCurrent = ({ tenant, revision }: TenantRevision) => {
    const { platform, tenants } = policies.status();
    return revision.platform === platform.revision && revision.tenant === (tenants[tenant]?.revision ?? "");
  };
  return {
    ready,
    status: () => ({
      url: config.listen.public_url,
      ready: ready(),
      policies: policies.status(),
      catalog: catalog.status(),
      schemas: schemas.notes(targetsOnce(), isCurrent),
      sessions: rooms.sessions.size,
      suspended: suspensions.list(),
    }),
  };
}
