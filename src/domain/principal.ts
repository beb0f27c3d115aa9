import type { JsonObject } from "../lib/json.ts";

/** Who asks. Total and typed: an absent claim has the empty value. No credential in it. */
export interface Principal {
  readonly kind: "user" | "service";
  readonly issuer: string;
  readonly subject: string;
  /** The tenant acted on. */
  readonly tenant: string;
  readonly home_tenant: string;
  readonly roles: readonly string[];
  readonly scopes: readonly string[];
  /** OAuth client id, or "". */
  readonly client: string;
  /** Seconds since the epoch, or 0. */
  readonly auth_time: number;
  readonly acr: string;
  readonly amr: readonly string[];
  readonly actor: string;
  readonly run: null | { readonly id: string; readonly expires: number };
  /** Directory attributes, looked up by identity. */
  readonly attributes: JsonObject;
}

/** A user of a tenant, as the issuer names them, whatever runs they have. */
export type UserKey = Pick<Principal, "issuer" | "subject" | "tenant">;

/** The tenant's record: whatever the operator's schema says, and its id. */
export interface TenantRecord extends JsonObject {
  readonly id: string;
}

/** A verified token's bearer: the principal, its tenant's record, and until when (seconds since the epoch). */
export interface Identity {
  readonly principal: Principal;
  readonly tenant: TenantRecord;
  readonly expires: number;
  /** Digest of principal and tenant record, for cache keys. */
  readonly digest: string;
}
