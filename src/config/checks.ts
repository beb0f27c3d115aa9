import { isLoopback } from "../lib/loopback.ts";
import type { Finding } from "./problems.ts";
import type { ParsedConfig } from "./schema.ts";
import type { TenantSection } from "./sections/tenants.ts";
import type { DeepReadonly } from "./values.ts";
import { waysBarred, waysOf } from "./ways.ts";

type Parsed = DeepReadonly<ParsedConfig>;

/** What only shows when sections are seen together. */
export function conflicts(config: Parsed): Finding[] {
  return [
    ...waysIn(config),
    ...sampleUsers(config),
    ...discoveryCredentials(config),
    ...tenantRoles(config),
    ...signIns(config),
    ...sharedSessions(config),
    ...vaultLogins(config),
    ...vaultTenants(config),
    ...waysBarred(config),
  ];
}

function waysIn({ listen, issuers, authorization_server, local }: Parsed): Finding[] {
  if (issuers.length === 0 && authorization_server === undefined && local === undefined) {
    return [{ code: "missing_key", path: [], message: '"issuers" is missing: nobody could get in' }];
  }
  return issuers.flatMap(({ issuer }, index): Finding[] => {
    const path = ["issuers", index, "issuer"];
    if (authorization_server !== undefined && issuer === `${listen.public_url}/oauth`)
      return [{ code: "conflict", path, message: "this issuer is the embedded authorization server" }];
    const earlier = issuers.findIndex((other) => other.issuer === issuer);
    return earlier === index ? [] : [{ code: "conflict", path, message: "this issuer stands twice" }];
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
    const fault = source && ownFault(given.credential, source, upstream);
    return fault ? [{ code: "conflict", path: ["upstreams", upstream, "credential"], ...fault }] : [];
  });
}

function ownFault(name: string, source: Parsed["credentials"][string], upstream: string) {
  if (!source.upstreams.includes(upstream)) {
    const message = `credential source "${name}" may not be sent to "${upstream}"`;
    return { message, hint: `add it to credentials.${name}.upstreams` };
  }
  if (waysOf(source).every((way) => way === "header")) return null;
  const message = `the gateway's own requests carry a header alone: "${name}" would not be sent`;
  return { message, hint: "name a source that travels in a header, or none" };
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
    const known = rolesOf(source);
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

/** The roles that may be asked of a source. */
export function rolesOf(source: Parsed["credentials"][string]): readonly string[] {
  if (!("roles" in source)) return [];
  return Array.isArray(source.roles) ? source.roles : Object.keys(source.roles);
}

/** Who links an account signs in at the issuer of their own tokens: it must be one, and there must be one. */
function signIns({ accounts, issuers, authorization_server }: Parsed): Finding[] {
  if (accounts === undefined) return [];
  const findings = accounts.sign_in.flatMap(({ issuer }, index): Finding[] => {
    if (issuers.some((one) => one.issuer === issuer)) return [];
    const message = `there is no issuer "${issuer}"`;
    return [{ code: "unknown_reference", path: ["accounts", "sign_in", index, "issuer"], message }];
  });
  if (accounts.sign_in.length === 0 && authorization_server === undefined) {
    const message = '"sign_in" is missing: nobody could show who links an account';
    findings.push({ code: "missing_key", path: ["accounts"], key: true, message });
  }
  return findings;
}

/** Replicas that seal with keys of their own could not read each other's sessions. */
function sharedSessions({ sessions }: Parsed): Finding[] {
  if (sessions.store === "memory" || sessions.key !== undefined) return [];
  const message = '"key" is missing: every replica must seal with the same one';
  return [{ code: "missing_key", path: ["sessions"], key: true, message }];
}

/** An upstream that is sent assertions for Vault's audience could log in there as the user. */
function vaultLogins({ vaults, credentials }: Parsed): Finding[] {
  const audiences = Object.values(vaults).flatMap(({ login }) =>
    login.type === "jwt" ? [login.audience] : [],
  );
  return Object.entries(credentials).flatMap(([source, given]): Finding[] => {
    if (given.type !== "signed-jwt" || !audiences.includes(given.audience)) return [];
    const message = "this audience is that of a vault's login: an upstream could log in there as the user";
    return [{ code: "insecure", path: ["credentials", source, "audience"], message }];
  });
}

/** What stands under a user's name alone is the same for the tenants in which that name is met. */
function vaultTenants({ credentials, vaults, tenants }: Parsed): Finding[] {
  if (tenants.kind === "inline" && Object.keys(tenants.entries).length < 2) return [];
  return Object.entries(credentials).flatMap(([source, given]): Finding[] => {
    if (!("vault" in given) || vaults[given.vault]?.namespace?.includes("{tenant}")) return [];
    const templates = Object.entries(given).filter(([key]) => ["path", "role", "uri_san"].includes(key));
    return templates.flatMap(([key, text]): Finding[] => {
      if (typeof text !== "string" || !text.includes("{subject}") || text.includes("{tenant}")) return [];
      const message = `"${text}" is the same for a user of two tenants`;
      const hint = `write {tenant} into it, or into vaults.${given.vault}.namespace`;
      return [{ code: "insecure", path: ["credentials", source, key], message, hint }];
    });
  });
}
