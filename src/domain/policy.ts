import type { ErrorCode } from "../lib/errors.ts";
import type { Json, JsonObject } from "../lib/json.ts";
import type { Principal, TenantRecord } from "./principal.ts";

/** A bound on one argument: a closed set of JSON Schema keywords and four of our own. */
export interface Bound {
  readonly type?: string | readonly string[];
  readonly enum?: readonly Json[];
  readonly const?: Json;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly exclusiveMaximum?: number;
  readonly multipleOf?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  /** RE2; must match the whole string. */
  readonly pattern?: string;
  readonly format?: string;
  readonly items?: Bound;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly uniqueItems?: boolean;
  readonly properties?: Bounds;
  /** For `properties`: false refuses every property it does not name. */
  readonly others?: boolean;
  /** The argument must be absent. */
  readonly forbidden?: true;
  /** The argument may be absent; otherwise a bounded argument must be present. */
  readonly optional?: boolean;
  /** Injected by the gateway; the caller neither sees nor sends it. */
  readonly set?: Json;
}
export type Bounds = Readonly<Record<string, Bound>>;

export interface CredentialChoice {
  readonly source: string;
  readonly role?: string;
  /** Seconds. */
  readonly ttl?: number;
}

export type Layer = "platform" | "tenant";

/** Opens a target within argument bounds, under named requirements, with a named credential. */
export interface Grant {
  readonly layer: Layer;
  readonly reason: string;
  readonly rank: number;
  readonly arguments: Bounds;
  /** false: arguments that are not bounded are refused. */
  readonly others: boolean;
  readonly requires: readonly string[];
  readonly credential: CredentialChoice | null;
  readonly interaction: readonly string[];
}

/** Bounds and requirements that hold for every grant. */
export interface Limit {
  readonly layer: Layer;
  readonly arguments: Bounds;
  readonly requires: readonly string[];
  /** true: a bounded argument that the target does not declare closes the target. */
  readonly mustExist: boolean;
}

/** Grants, limits and denials of one principal for one target: what listing and calling both ask for. */
export interface Capability {
  readonly grants: readonly Grant[];
  readonly limits: readonly Limit[];
  /** Not empty: the target is closed. Told to the record only. */
  readonly denials: readonly string[];
  /** What was malformed or failed on the way; a fault of a limit or a denial is in `denials` too. */
  readonly faults: readonly string[];
}

export interface Revision {
  readonly platform: string;
  /** "" where the tenant has no policies of its own. */
  readonly tenant: string;
}

/** `input` of a capability evaluation, less the target. */
export interface PolicyContext {
  readonly principal: Principal;
  readonly tenant: TenantRecord;
  /** The virtual server. */
  readonly server: string;
  /** Seconds since the epoch, floored to the tick: one reading for all evaluations of a decision. */
  readonly now: number;
}

/** A requirement, as its METADATA describes it: told to the caller when it does not hold. */
export interface Requirement {
  readonly layer: Layer;
  readonly name: string;
  readonly title: string;
  readonly stepUp: null | { readonly max_age?: number; readonly scope?: string };
  /** JSON Pointers of the arguments that it reads and that are absent, so that it cannot hold. */
  readonly missing: readonly string[];
}

/** The answer to one tools/call. */
export type CallDecision =
  | {
      readonly effect: "allow";
      readonly grant: Grant;
      /** What is forwarded: the caller's arguments with `set` values injected. */
      readonly arguments: JsonObject;
      readonly requirements: Readonly<Record<string, boolean>>;
      /** What of policy was dropped on the way, for the record only. */
      readonly reasons: readonly string[];
    }
  | {
      readonly effect: "deny";
      readonly code: ErrorCode;
      /** For the caller, in words that let it correct itself. */
      readonly text?: string;
      readonly data?: JsonObject;
      /** For the record only. */
      readonly reasons: readonly string[];
      readonly grant: Grant | null;
      readonly requirements: Readonly<Record<string, boolean>>;
    };
