import type {
  CallDecision,
  DecisionEntry,
  Identity,
  Revision,
  Target,
  TargetId,
  TenantRecord,
} from "../domain.ts";
import type { ErrorCode } from "../lib/errors.ts";
import { digest, type JsonObject } from "../lib/json.ts";
import type { Message } from "../protocol/messages.ts";
import type { Rooms } from "./rooms.ts";

/** What is known of a request so far. A refusal's record tells how far it came. */
export interface Seen {
  readonly server: string;
  readonly clientIp: string;
  /** Seconds: the one clock reading of this decision. */
  readonly now: number;
  readonly traceId: string;
  message?: Message;
  identity?: Identity;
  revision?: Revision;
}

const NO_REVISION: Revision = { platform: "", tenant: "" };

type Said = Pick<DecisionEntry, "effect" | "code"> & Partial<DecisionEntry>;

/** Puts a decision on disk, and what it was made on: resolves when it is there. Nothing may be forwarded before. */
export function record(
  rooms: Pick<Rooms, "log" | "metrics">,
  seen: Seen,
  said: Said,
  id = rooms.log.newId(),
  targets: readonly Target[] = [],
): Promise<void> {
  // A refused message's method is whatever the client wrote: no series of its own.
  const method = seen.message?.kind === "refused" ? "" : (seen.message?.method ?? "");
  rooms.metrics.decided(seen.server, method, said.code);
  const inputs = { tenant: seen.identity?.tenant, targets };
  return rooms.log.decision(id, decisionEntry(seen, said), inputs);
}

/** What a decision is about. */
export interface Subject {
  /** As the request names it: all there is to say where there is no such target. */
  readonly asked: TargetId;
  /** Those that it was decided under, what the request names first. */
  readonly targets: readonly Target[];
  readonly arguments: JsonObject;
  /** Digest of the arguments. */
  readonly sha256: string;
  readonly named?: string | undefined;
}

/** Puts a decision about targets on disk, with all that it takes to make it again. Gives its id. */
export async function recordDecision(
  rooms: Pick<Rooms, "log" | "metrics">,
  seen: Seen,
  decision: CallDecision,
  { asked, targets, arguments: args, sha256, named }: Subject,
): Promise<string> {
  const [target, ...matched] = targets;
  const id = rooms.log.newId();
  const said: Said = {
    effect: decision.effect,
    code: decision.effect === "allow" ? "ok" : decision.code,
    target: idOf(target ?? asked),
    ...(target && { target_sha256: target.digest }),
    ...(named !== undefined && { named }),
    ...(matched.length > 0 && {
      matched: matched.map(idOf),
      matched_sha256: matched.map((one) => one.digest),
    }),
    arguments: args,
    arguments_sha256: sha256,
    grant: decision.grant,
    requirements: decision.requirements,
    reasons: decision.reasons,
  };
  await record(rooms, seen, said, id, targets);
  return id;
}

/** A target's identity alone. */
function idOf({ upstream, kind, name }: TargetId): TargetId {
  return { upstream, kind, name };
}

/** The outcome of what was allowed and went no further than the gateway. */
export function recordAnswered(
  rooms: Pick<Rooms, "log">,
  decision: string,
  bytes: number,
  status: ErrorCode | "ok" = "ok",
): void {
  const is_error = status !== "ok";
  rooms.log.outcome({ phase: "outcome", decision, status, is_error, ms: 0, bytes, lease_sha256: null });
}

function decisionEntry(seen: Seen, said: Said): DecisionEntry {
  const { message, identity } = seen;
  return {
    phase: "decision",
    server: seen.server,
    era: message?.era ?? "",
    method: message?.method ?? "",
    rpc_id: message?.kind === "request" || message?.kind === "refused" ? message.id : null,
    client_ip: seen.clientIp,
    revision: seen.revision ?? NO_REVISION,
    principal: identity?.principal ?? null,
    target: null,
    arguments: null,
    arguments_sha256: "",
    context: { now: seen.now },
    grant: null,
    requirements: {},
    reasons: [],
    trace_id: seen.traceId,
    ...(identity && { tenant_sha256: digestOf(identity.tenant) }),
    ...said,
  };
}

/**
 * Records a request that was refused before policy was asked. What anybody can cause without a token is counted
 * together past a limit, so that nobody fills the disk.
 */
export function recordUnasked(
  rooms: Pick<Rooms, "log" | "metrics" | "refusals">,
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
