import type { DecisionEntry, Principal } from "../domain.ts";

/** The record of a request that is none of MCP, but for what was decided. */
export function entryBesideMcp(asked: {
  readonly method: string;
  readonly clientIp: string;
  /** Milliseconds since the epoch. */
  readonly now: number;
  readonly principal: Principal | null;
}): Omit<DecisionEntry, "effect" | "code"> {
  return {
    phase: "decision",
    server: "",
    era: "",
    method: asked.method,
    rpc_id: null,
    client_ip: asked.clientIp,
    revision: { platform: "", tenant: "" },
    principal: asked.principal,
    target: null,
    arguments: null,
    arguments_sha256: "",
    context: { now: Math.floor(asked.now / 1000) },
    grant: null,
    requirements: {},
    reasons: [],
    trace_id: "",
  };
}
