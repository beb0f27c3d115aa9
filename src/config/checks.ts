import type { Finding } from "./problems.ts";
import type { ParsedConfig } from "./schema.ts";
import type { TenantSection } from "./sections/tenants.ts";
import { type DeepReadonly, isLoopback } from "./values.ts";

type Parsed = DeepReadonly<ParsedConfig>;

/** What only shows when sections are seen together. */
export function conflicts(config: Parsed): Finding[] {
  return [...waysIn(config), ...sampleUsers(config), ...discoveryCredentials(config), ...tenantRoles(config)];
}

function waysIn({ issuers, authorization_server }: Parsed): Finding[] {
  if (issuers.length === 0 && authorization_server === undefined) {
    return [{ code: "missing_key", path: [], message: '"issuers" is missing: nobody could get in' }];
  }
  return issuers.flatMap(({ issuer }, index): Finding[] => {
    const earlier = issuers.findIndex((other) => other.issuer === issuer);
    if (earlier === index) return [];
    return [{ code: "conflict", path: ["issuers", index, "issuer"], message: "this issuer stands twice" }];
  });
}

/** Users without passwords, on one machine only. */
function sampleUsers({ listen, authorization_server }: Parsed): Finding[] {
  const local = isLoopback(listen.host) && isLoopback(new URL(listen.public_url).hostname);
  if (authorization_server === undefined || local) return [];
  const message = "the embedded authorization server has sample users: it runs on loopback only";
  return [
    {
      code: "insecure",
      path: ["authorization_server"],
      key: true,
      message,
      hint: "name your own under issuers",
    },
  ];
}

function discoveryCredentials({ upstreams, credentials }: Parsed): Finding[] {
  return Object.entries(upstreams).flatMap(([upstream, given]): Finding[] => {
    if (given.transport !== "http" || given.credential === undefined) return [];
    const source = credentials[given.credential];
    if (source === undefined || source.upstreams.includes(upstream)) return [];
    const message = `credential source "${given.credential}" may not be sent to "${upstream}"`;
    const hint = `add it to credentials.${given.credential}.upstreams`;
    return [{ code: "conflict", path: ["upstreams", upstream, "credential"], message, hint }];
  });
}

function tenantRoles({ tenants, credentials }: Parsed): Finding[] {
  if (tenants.kind === "directory") return [];
  return Object.entries(tenants.entries).flatMap(([id, tenant]) =>
    unknownRoles(tenant.credentials, credentials).map((finding) => ({
      ...finding,
      path: ["tenants", id, ...finding.path],
    })),
  );
}

/** Roles that a tenant is given of a source which does not have them. */
export function unknownRoles(given: TenantSection["credentials"], sources: Parsed["credentials"]): Finding[] {
  return Object.entries(given).flatMap(([name, { roles }]) => {
    const source = sources[name];
    if (source === undefined) return [];
    const known = source.type === "none" ? [] : source.roles;
    return roles.flatMap((role, index): Finding[] => {
      if (known.includes(role)) return [];
      const path = ["credentials", name, "roles", index];
      const message = `credential source "${name}" has no role "${role}"`;
      return [
        {
          code: "unknown_reference",
          path,
          message,
          hint: known.length === 0 ? "" : `it has ${known.join(", ")}`,
        },
      ];
    });
  });
}
