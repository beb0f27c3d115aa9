import type { Config } from "../config/config.ts";
import type { Tenant } from "../config/tenants.ts";
import type { TenantCredentials } from "../credential/credentials.ts";
import type { Directory } from "../identity/directory.ts";
import { PortcullisError } from "../lib/errors.ts";
import type { JsonObject } from "../lib/json.ts";

/** The tenant in whose name the gateway itself asks upstreams what they offer. No configured tenant has this id. */
export const GATEWAY_TENANT = "";

/** What configuration says of tenants, as the rooms ask for it. */
export interface Tenancy {
  readonly directory: Directory;
  /** Folders of the tenants that have policies of their own. */
  readonly policies: ReadonlyMap<string, string>;
  mayUse(tenant: string, server: string): boolean;
  credentialsOf(tenant: string): TenantCredentials | undefined;
}

const NONE: JsonObject = Object.freeze({});

/** Tenants are read once, when first asked for; ten thousand of them cost a request nothing. */
export async function openTenancy(config: Config): Promise<Tenancy> {
  const known = new Map<string, Tenant>();
  const policies = new Map<string, string>();
  const own = Object.fromEntries(
    Object.keys(config.credentials).map((source) => [source, { roles: [], max_ttl: 3600 }]),
  );

  async function find(id: string): Promise<Tenant | undefined> {
    const found = known.get(id);
    if (found !== undefined) return found;
    const loaded = await config.tenants.get(id);
    if (loaded.ok) {
      known.set(id, loaded.value);
      return loaded.value;
    }
    if (loaded.problems.length === 0) return undefined;
    const [first] = loaded.problems;
    throw new PortcullisError("identity_unavailable", {
      reason: `tenant ${id}: ${first?.message ?? "cannot be read"}`,
    });
  }

  for (const id of await config.tenants.ids()) {
    const tenant = await find(id);
    if (tenant?.policies) policies.set(id, tenant.policies);
  }

  return {
    directory: {
      tenant: async (id) => (await find(id))?.record,
      attributes: async (issuer, subject, id) => (await find(id))?.attributes[issuer]?.[subject] ?? NONE,
    },
    policies,
    mayUse: (id, server) => known.get(id)?.servers.includes(server) ?? false,
    credentialsOf: (id) => (id === GATEWAY_TENANT ? own : known.get(id)?.credentials),
  };
}
