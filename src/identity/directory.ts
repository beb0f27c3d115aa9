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
