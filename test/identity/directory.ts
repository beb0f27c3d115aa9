import type { TenantRecord } from "../../src/domain.ts";
import type { Directory } from "../../src/identity/directory.ts";
import type { JsonObject } from "../../src/lib/json.ts";

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
