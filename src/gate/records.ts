import type { DecisionEntry, Identity, Revision, Target, TenantRecord } from "../domain.ts";
import type { ErrorCode } from "../lib/errors.ts";
import { digest } from "../lib/json.ts";
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
  const inputs = { ...(seen.identity && { tenant: seen.identity.tenant }), targets };
  return rooms.log.decision(id, decisionEntry(seen, said), inputs);
}

function decisionEntry(seen: Seen, said: Said): DecisionEntry {
  const { message, identity } = seen;
  return {
    phase: "decision",
    server: seen.server,
    era: message?.era ?? "",
    method: message?.method ?? "",
    rpc_id: message?.kind === "request" ? message.id : null,
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
