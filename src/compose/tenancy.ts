import type { Config } from "../config/config.ts";
import type { ConfigProblem } from "../config/problems.ts";
import { attributesOf, type Tenant } from "../config/tenants.ts";
import type { TenantCredentials } from "../credential/credentials.ts";
import type { Directory } from "../identity/directory.ts";
import { PortcullisError } from "../lib/errors.ts";

/** The tenant in whose name the gateway itself asks upstreams what they offer. No configured tenant has this id. */
export const GATEWAY_TENANT = "";

/** How many of so many one tenant may hold: all, where there is no other. */
export type Share = (max: number) => number;

/** What configuration says of tenants, as the rooms ask for it. */
export interface Tenancy {
  readonly directory: Directory;
  /** By tenant: the folder of its own policies, or null. */
  readonly policies: ReadonlyMap<string, string | null>;
  mayUse(tenant: string, server: string): boolean;
  readonly share: Share;
  credentialsOf(tenant: string): TenantCredentials | undefined;
}

/** Tenants are who is there at the start: for one that comes later no policies of its own were built, so it is unknown. */
export async function openTenancy(config: Config): Promise<Tenancy> {
  const known = new Map<string, Tenant>();
  const own = Object.fromEntries(
    Object.keys(config.credentials).map((source) => [source, { roles: [], max_ttl: 3600 }]),
  );

  for (const id of await config.tenants.ids()) {
    const loaded = await config.tenants.get(id);
    if (loaded.ok) known.set(id, loaded.value);
    else for (const problem of loaded.problems) throw unreadable(id, problem);
  }

  return {
    directory: {
      tenant: (id) => known.get(id)?.record,
      attributes: (issuer, subject, id) => attributesOf(known.get(id), issuer, subject),
    },
    policies: new Map(Array.from(known, ([id, { policies }]) => [id, policies])),
    mayUse: (id, server) => known.get(id)?.servers.includes(server) ?? false,
    share: (max) => (known.size > 1 ? Math.max(1, Math.floor(max * config.limits.tenant_share)) : max),
    credentialsOf: (id) => (id === GATEWAY_TENANT ? own : known.get(id)?.credentials),
  };
}

function unreadable(id: string, { file, row, col, message }: ConfigProblem): PortcullisError {
  const at = row === 0 ? file : `${file}:${row}:${col}`;
  return new PortcullisError("identity_unavailable", { reason: `tenant ${id}: ${at}: ${message}` });
}
