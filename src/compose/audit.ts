import { openDecisionLog } from "../audit/log.ts";
import { createRefusalCounter, type RefusalCounter } from "../audit/refusals.ts";
import type { DecisionLog } from "../domain.ts";
import { ownFolder } from "../lib/own-folder.ts";
import type { Ground } from "./ground.ts";

/** Refusals without a token that are recorded one by one, of one source in one second. */
const INDIVIDUAL_REFUSALS = 5;
const MAX_PENDING_BYTES = 64 << 20;

export interface Audit {
  readonly decisions: DecisionLog;
  readonly refusals: RefusalCounter;
}

export async function openAudit({ config, log, clock, closing, onFatal }: Ground): Promise<Audit> {
  await ownFolder("audit.path", config.audit.path, log);
  const decisions = await openDecisionLog({
    path: config.audit.path,
    segmentBytes: config.audit.segment_bytes,
    maxPendingBytes: MAX_PENDING_BYTES,
    clock,
    log,
    onFatal,
  });
  closing.add(decisions, (opened) => opened.close());
  const refusals = createRefusalCounter({ decisions, clock, individually: INDIVIDUAL_REFUSALS });
  closing.add(refusals, (opened) => opened.close());
  return { decisions, refusals };
}
