import type { CallDecision, DecisionEntry, Revision, Target, TargetId, TenantRecord } from "../domain.ts";
import type { ErrorCode } from "../lib/errors.ts";
import { digest, type JsonObject } from "../lib/json.ts";
import type { Seen } from "./ask.ts";
import type { Rooms } from "./rooms.ts";

const NO_REVISION: Revision = { platform: "", tenant: "" };

/** What is decided; the rest of its record is what was seen. */
type Said = Pick<DecisionEntry, "effect" | "code"> &
  Partial<
    Pick<
      DecisionEntry,
      | "method"
      | "target"
      | "arguments"
      | "arguments_sha256"
      | "grant"
      | "requirements"
      | "reasons"
      | "target_sha256"
      | "within"
      | "named"
      | "matched"
      | "matched_sha256"
      | "listed"
      | "of"
      | "targets_sha256"
    >
  >;

/** Puts a decision on disk, and what it was made on: resolves when it is there. Nothing may be forwarded before. */
export function record(
  rooms: Pick<Rooms, "decisions" | "metrics">,
  seen: Seen,
  said: Said,
  id = rooms.decisions.newId(),
  targets: readonly Target[] = [],
): Promise<void> {
  // A refused message's method is whatever the client wrote: no series of its own.
  const method = seen.message?.kind === "refused" ? "" : (seen.message?.method ?? "");
  rooms.metrics.decided(seen.server, method, said.code);
  const inputs = { tenant: seen.identity?.tenant, targets };
  return rooms.decisions.decision(id, decisionEntry(seen, said), inputs);
}

/** What a decision is about. */
export interface Subject {
  /** Of the record. */
  readonly id: string;
  /** As the request names it: all there is to say where there is no such target. */
  readonly asked: TargetId;
  /** Those that it was decided under, what the request names first. */
  readonly targets: readonly Target[];
  readonly arguments: JsonObject;
  /** Digest of the arguments. */
  readonly sha256: string;
  readonly named?: string | undefined;
}

/** Puts a decision about targets on disk, with all that it takes to make it again. */
export function recordDecision(
  rooms: Pick<Rooms, "decisions" | "metrics">,
  seen: Seen,
  decision: CallDecision,
  { id, asked, targets, arguments: args, sha256, named }: Subject,
): Promise<void> {
  const [target, ...matched] = targets;
  const said: Said = {
    effect: decision.effect,
    code: decision.effect === "allow" ? "ok" : decision.code,
    target: idOf(target ?? asked),
    target_sha256: target?.digest,
    named,
    matched: matched.length > 0 ? matched.map(idOf) : undefined,
    matched_sha256: matched.length > 0 ? matched.map((one) => one.digest) : undefined,
    arguments: args,
    arguments_sha256: sha256,
    grant: decision.grant,
    requirements: decision.requirements,
    reasons: decision.reasons,
  };
  return record(rooms, seen, said, id, targets);
}

/** A target's identity alone. */
function idOf({ upstream, kind, name }: TargetId): TargetId {
  return { upstream, kind, name };
}

/** Member by member: to spread what is said would look each of them up by name, for every decision. */
function decisionEntry(seen: Seen, said: Said): DecisionEntry {
  const { message, identity } = seen;
  return {
    phase: "decision",
    server: seen.server,
    era: message?.era ?? "",
    method: said.method ?? message?.method ?? "",
    rpc_id: message?.kind === "request" || message?.kind === "refused" ? message.id : null,
    client_ip: seen.clientIp,
    revision: seen.revision ?? NO_REVISION,
    principal: identity?.principal ?? null,
    target: said.target ?? null,
    arguments: said.arguments ?? null,
    arguments_sha256: said.arguments_sha256 ?? "",
    context: { now: seen.now },
    effect: said.effect,
    code: said.code,
    grant: said.grant ?? null,
    requirements: said.requirements ?? {},
    reasons: said.reasons ?? [],
    trace_id: seen.traceId,
    tenant_sha256: identity && digestOf(identity.tenant),
    target_sha256: said.target_sha256,
    within: said.within,
    named: said.named,
    matched: said.matched,
    matched_sha256: said.matched_sha256,
    listed: said.listed,
    of: said.of,
    targets_sha256: said.targets_sha256,
  };
}

/**
 * Records a request that was refused before policy was asked. What anybody can cause without a token is counted
 * together past a limit, so that nobody fills the disk.
 */
export function recordUnasked(
  rooms: Pick<Rooms, "decisions" | "metrics" | "refusals">,
  seen: Seen,
  code: ErrorCode,
  reason: string,
): Promise<void> {
  const said: Said = { effect: "deny", code, reasons: reason === "" ? [] : [reason] };
  if (seen.identity !== undefined) return record(rooms, seen, said);
  rooms.metrics.decided(seen.server, "", code);
  return rooms.refusals.refuse(decisionEntry(seen, said));
}

const digests = new WeakMap<TenantRecord, string>();

/** A tenant's record is the same object until it changes. */
function digestOf(record: TenantRecord): string {
  const sha256 = digests.get(record) ?? digest(record);
  digests.set(record, sha256);
  return sha256;
}
