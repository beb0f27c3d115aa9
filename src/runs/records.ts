import type { DecisionEntry, DecisionInputs, Identity } from "../domain.ts";
import { entryBesideMcp } from "../lib/decision-entry.ts";
import type { PortcullisError } from "../lib/errors.ts";
import { digest, type JsonObject } from "../lib/json.ts";
import type { Run } from "./run.ts";

/** Where records of runs go. */
export interface RunRecords {
  /** Resolves when it is on disk; rejects with `audit_unavailable`. */
  decision(entry: DecisionEntry, inputs: DecisionInputs): Promise<void>;
  /** A refusal that anybody can cause without a valid token, or as often as they like: past a limit it is counted. */
  refused(entry: DecisionEntry): Promise<void>;
}

export type RunMethod = "runs/create" | "runs/list" | "runs/delete";

/** What is known of a request so far. */
export interface Seen {
  readonly method: RunMethod | "";
  readonly clientIp: string;
  /** Milliseconds since the epoch. */
  readonly now: number;
  identity?: Identity;
}

/** What was decided about runs, for the decision log. The run stands in the arguments: it is not who asks. */
export function createRunRecorder(records: RunRecords) {
  function entryOf(
    seen: Seen,
    args: JsonObject | null,
    said: Pick<DecisionEntry, "effect" | "code">,
  ): DecisionEntry {
    return {
      ...entryBesideMcp({ ...seen, principal: seen.identity?.principal ?? null }),
      arguments: args,
      arguments_sha256: args === null ? "" : digest(args),
      ...(seen.identity && { tenant_sha256: digest(seen.identity.tenant) }),
      ...said,
    };
  }

  return {
    allowed(seen: Seen, args: JsonObject): Promise<void> {
      const inputs = seen.identity === undefined ? {} : { tenant: seen.identity.tenant };
      return records.decision(entryOf(seen, args, { effect: "allow", code: "ok" }), inputs);
    },
    refused(seen: Seen, { code, reason, text }: PortcullisError): Promise<void> {
      const entry = {
        ...entryOf(seen, null, { effect: "deny", code }),
        reasons: [reason || text],
      };
      const { identity } = seen;
      if (identity === undefined || code === "overloaded") return records.refused(entry);
      return records.decision(entry, { tenant: identity.tenant });
    },
  };
}

/** What the record of a run's beginning or end says of it. */
export function recordedRun({
  id,
  principal,
  servers,
  targets,
  accounts,
  expires,
  description,
}: Run): JsonObject {
  const { issuer, subject } = principal;
  const choices = targets?.map((choice) => ({ ...choice })) ?? null;
  return { run: id, issuer, subject, servers, targets: choices, accounts, expires, description };
}
