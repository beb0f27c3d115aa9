import type { ErrorCode } from "../lib/errors.ts";
import type { JsonObject } from "../lib/json.ts";
import type { Era } from "./exchange.ts";
import type { Grant, Revision } from "./policy.ts";
import type { Principal, TenantRecord } from "./principal.ts";
import type { Target, TargetId } from "./target.ts";

/** One line of the decision log before the log gives it seq, id and time. `shapes`: v 1. */
export interface DecisionEntry {
  readonly phase: "decision";
  readonly server: string;
  readonly era: Era | "";
  readonly method: string;
  readonly rpc_id: string | number | null;
  readonly client_ip: string;
  readonly revision: Revision;
  readonly principal: Principal | null;
  readonly target: TargetId | null;
  readonly arguments: JsonObject | null;
  readonly arguments_sha256: string;
  readonly context: { readonly now: number };
  readonly effect: "allow" | "deny" | "error";
  readonly code: ErrorCode | "ok";
  readonly grant: Grant | null;
  readonly requirements: Readonly<Record<string, boolean>>;
  readonly reasons: readonly string[];
  readonly trace_id: string;
  /** Digests of the tenant's record and of the pinned target: with them the decision can be made again. */
  readonly tenant_sha256?: string | undefined;
  readonly target_sha256?: string | undefined;
  /** Of a question within a call: the id of the call's decision. */
  readonly within?: string | undefined;
  /**
   * What is asked for, where the target does not say it: the canonical URI of a read or subscription, the argument that is
   * completed, the id of a task.
   */
  readonly named?: string | undefined;
  /** Of a read: every other target that its URI matches, decided with it. */
  readonly matched?: readonly TargetId[] | undefined;
  /** Digests of those, in the same order. */
  readonly matched_sha256?: readonly string[] | undefined;
  /** Of a list only. */
  readonly listed?: number | undefined;
  readonly of?: number | undefined;
  readonly targets_sha256?: string | undefined;
  /** More than 1: this many like refusals of one source in one second, counted together. */
  readonly count?: number | undefined;
}

export interface OutcomeEntry {
  readonly phase: "outcome";
  /** Id of the decision's record. */
  readonly decision: string;
  /** input_required: its client is asked first. unknown: an orphan found at recovery. */
  readonly status: ErrorCode | "ok" | "input_required" | "unknown";
  readonly is_error: boolean;
  readonly ms: number;
  readonly bytes: number;
  readonly lease_sha256: string | null;
  /** Parts of the answer that policy hides from this principal and that were left out. */
  readonly withheld?: number | undefined;
}

/** What became of a lease after it was minted; each use of it is in the outcome of the call. */
export interface LeaseEntry {
  readonly phase: "lease";
  /**
   * dropped: no longer used here; its source cannot end it early, or it had expired. mint_failed: nothing was handed out,
   * but where an answer was lost or late the source may have made it.
   */
  readonly event: "minted" | "renewed" | "revoked" | "dropped" | "revocation_failed" | "mint_failed";
  /** Id of the decision that it was minted for. */
  readonly decision: string;
  /** "" of a mint that failed. */
  readonly lease_sha256: string;
  /** Milliseconds since the epoch; 0 of a mint that failed. */
  readonly expires: number;
  /** Whose it is: tenant, issuer, subject, and the run's id or "". */
  readonly tenant: string;
  readonly issuer: string;
  readonly subject: string;
  readonly run: string;
  readonly source: string;
  readonly role: string;
  readonly upstream: string;
  /** The virtual server of the call that it was minted for. */
  readonly server: string;
  readonly revision: Revision;
  /** The source's own id of the request, as in Vault's audit log; "" where there is none. */
  readonly request_id: string;
  /** Why it was revoked or dropped; of a failure the error code. */
  readonly reason: string;
}

/** What an operator did by hand. */
export interface OperatorEntry {
  readonly phase: "operator";
  readonly action: "tenant/suspend" | "tenant/resume" | "accounts/unlink" | "accounts/shred";
  readonly tenant: string;
  /** As it was given; "" for none. */
  readonly reason: string;
  /** The operating system's name of the operator, as their command said. */
  readonly by: string;
  /** Of an unlinking: whose account. */
  readonly issuer?: string;
  readonly subject?: string;
  readonly account?: string;
}
export type LogEntry = DecisionEntry | OutcomeEntry | LeaseEntry | OperatorEntry;

/** What a decision was made on besides what its record says itself. */
export interface DecisionInputs {
  /** Of `tenant_sha256`. */
  readonly tenant?: TenantRecord | undefined;
  /** Of `target_sha256` and `matched_sha256`. */
  readonly targets?: readonly Target[];
}

/** An input, in each segment of the log once and before the first record that names its digest. */
export interface InputEntry {
  readonly phase: "input";
  readonly kind: "tenant" | "target";
  readonly sha256: string;
  /**
   * The tenant's record; or `{upstream, kind, name, labels, announced, definition}` of a target, with `inputSchema` where
   * the definition as announced has none.
   */
  readonly value: JsonObject;
}

/** The decision log as the gate sees it. */
export interface DecisionLog {
  /** The id the next record will have is minted here, so that it can travel beside the credential. */
  newId(): string;
  /** Resolves when the entry is on disk; rejects with `audit_unavailable` when it cannot be. */
  decision(id: string, entry: DecisionEntry, inputs?: DecisionInputs): Promise<void>;
  /** Appends without waiting; durable with the next group. */
  outcome(entry: OutcomeEntry): void;
  /** What became of a lease: of a mint as with a decision, since it is used only afterwards; all else without waiting. */
  lease(entry: LeaseEntry): Promise<void>;
  /** Resolves when it is on disk, as a decision does. */
  operator(entry: OperatorEntry): Promise<void>;
  /** false once a write has failed: readiness fails, nothing is served. */
  readonly healthy: boolean;
  close(): Promise<void>;
}
