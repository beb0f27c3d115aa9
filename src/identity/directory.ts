import type { TenantRecord } from "../domain.ts";
import { PortcullisError } from "../lib/errors.ts";
import type { JsonObject } from "../lib/json.ts";

/**
 * Where tenant records and principal attributes are looked up, on every request: the same reference means that
 * nothing changed, so an implementation keeps what it gives and replaces it whole.
 */
export interface Directory {
  tenant(id: string): Eventually<TenantRecord | undefined>;
  /** An empty object where nothing is known of this principal. */
  attributes(issuer: string, subject: string, tenant: string): Eventually<JsonObject>;
}

/** At once, where it is in memory. */
type Eventually<T> = T | Promise<T>;

export interface DirectoryContent {
  /** By tenant id. */
  readonly tenants: ReadonlyMap<string, JsonObject>;
  readonly principals?: readonly PrincipalAttributes[];
}

interface PrincipalAttributes {
  readonly issuer: string;
  readonly subject: string;
  readonly tenant: string;
  readonly attributes: JsonObject;
}

const NONE: JsonObject = Object.freeze({});

/** A directory in memory, whatever its records were read from. */
export function createDirectory(content: DirectoryContent): Directory & {
  /** Swaps all of it at once: no request sees half of two contents. */
  replace(content: DirectoryContent): void;
} {
  let now = index(content);
  return {
    tenant: (id) => now.tenants.get(id),
    attributes: (issuer, subject, tenant) => now.attributes.get(keyOf(issuer, subject, tenant)) ?? NONE,
    replace(next) {
      now = index(next);
    },
  };
}

function index({ tenants, principals = [] }: DirectoryContent) {
  return {
    tenants: new Map<string, TenantRecord>([...tenants].map(([id, record]) => [id, { ...record, id }])),
    attributes: new Map(
      principals.map((one) => [keyOf(one.issuer, one.subject, one.tenant), one.attributes]),
    ),
  };
}

/** Parts kept apart: `["a","b c"]` and `["a b","c"]` are different principals. */
function keyOf(...parts: string[]): string {
  return JSON.stringify(parts);
}

/** What is known of a principal now. @throws PortcullisError `tenant_unknown`; `identity_unavailable`: the directory failed */
export async function lookUp(
  directory: Directory,
  { issuer, subject, tenant }: { issuer: string; subject: string; tenant: string },
): Promise<[TenantRecord, JsonObject]> {
  let found: [TenantRecord | undefined, JsonObject];
  try {
    const record = directory.tenant(tenant);
    const attributes = directory.attributes(issuer, subject, tenant);
    const isThere = !(record instanceof Promise || attributes instanceof Promise);
    found = isThere ? [record, attributes] : await Promise.all([record, attributes]);
  } catch (cause) {
    throw new PortcullisError("identity_unavailable", { reason: "the directory failed", cause });
  }
  const [record, attributes] = found;
  if (record === undefined)
    throw new PortcullisError("tenant_unknown", { reason: `tenant ${JSON.stringify(tenant)}` });
  return [record, attributes];
}
