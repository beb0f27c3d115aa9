import type { Json } from "../lib/json.ts";

/** Checking one call may cost this many steps, of some 10 ns each, and as many again for what it sends. */
const STEPS = 1_000_000;
const STEPS_PER_CHARACTER = 8;
/** Of text that is only compared or counted. */
export const CHARACTERS_PER_STEP = 16;

/** The check was cut: a client, or an upstream by its schema, asks for more work than its arguments are worth. */
export class TooCostly extends Error {
  constructor() {
    super("checking it takes too many steps");
  }
}

interface Allowance {
  left: number;
  /** What the allowance is for, until its size was added. */
  subject: Json | undefined;
}

/** Checking is synchronous, so one allowance at a time is enough. */
let allowance: Allowance | null = null;

/** Runs a check that `spend` may cut; a check within a check shares its steps. @throws TooCostly */
export function withinSteps<T>(subject: Json, check: () => T): T {
  if (allowance !== null) return check();
  allowance = { left: STEPS, subject };
  try {
    return check();
  } finally {
    allowance = null;
  }
}

/** Counts work whose amount a client or an upstream chooses. @throws TooCostly */
export function spend(steps: number): void {
  if (allowance === null) return;
  allowance.left -= steps;
  if (allowance.left < 0) extend(allowance);
}

/** Most calls never come here, so that only those pay for the measuring. */
function extend(cut: Allowance): void {
  if (cut.subject !== undefined) cut.left += JSON.stringify(cut.subject).length * STEPS_PER_CHARACTER;
  cut.subject = undefined;
  if (cut.left < 0) throw new TooCostly();
}
