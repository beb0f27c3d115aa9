import type { DecisionEntry, Identity, Revision } from "../domain.ts";
import type { ErrorCode } from "../lib/errors.ts";
import type { Message } from "../protocol/messages.ts";

/** What is known of a request so far. A refusal's record tells how far it came. */
export interface Seen {
  readonly server: string;
  readonly clientIp: string;
  /** Seconds: the one clock reading of this decision. */
  readonly now: number;
  /** Milliseconds: when the bytes were complete. */
  readonly startedAt: number;
  readonly traceId: string;
  message?: Message;
  identity?: Identity;
  revision?: Revision;
}

const NO_REVISION: Revision = { platform: "", tenant: "" };

type Said = Pick<DecisionEntry, "effect" | "code"> & Partial<DecisionEntry>;

/** The decision record of what was seen, with what was decided. */
export function decisionEntry(seen: Seen, said: Said): DecisionEntry {
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
    ...said,
  };
}

/** A request refused before policy was asked. */
export function refusalEntry(seen: Seen, code: ErrorCode, reason: string): DecisionEntry {
  return decisionEntry(seen, { effect: "deny", code, reasons: reason === "" ? [] : [reason] });
}
