import { createInstance, jsonBuffer, loadProgram } from "./instance.ts";
import { patternFault } from "./pattern.ts";
import type { Problem } from "./toolchain-types.ts";

/** A pattern that the toolchain found in a policy: the engine that will run it says whether it can. */
export interface Unjudged extends Omit<Problem, "severity" | "code" | "message"> {
  readonly severity: "unjudged";
  /** Why OPA's evaluator cannot read it, or "". */
  readonly message: string;
  /** `pattern_invalid`: of a bound. The others: of a rule. */
  readonly code: "pattern_invalid" | RuleCode;
  /** Absent: "". */
  readonly pattern?: string;
}

type RuleCode = keyof typeof IN_RULES;

const IN_RULES = { regex_invalid: "regular expression", glob_invalid: "glob" } as const;
const LIMITS = { steps: 0x7fffffff, memory: 64 * 1024 * 1024 };

/** @param wasm in base64, the module that runs the rules; null: there is none, and their patterns stay unjudged */
export async function judged(
  found: readonly (Problem | Unjudged)[],
  wasm: string | null,
): Promise<readonly Problem[]> {
  const unjudged = found.filter((one) => one.severity === "unjudged");
  const fit = wasm === null ? null : await readable(wasm, unjudged);
  return found.flatMap((one) => {
    if (one.severity !== "unjudged") return [one];
    const { pattern = "", ...place } = one;
    const fault = one.code === "pattern_invalid" ? patternFault(pattern) : ruleFault(one.code, pattern, fit);
    const message = fault ?? one.message;
    return message === "" ? [] : [{ ...place, severity: "error", message }];
  });
}

type Readable = Readonly<Partial<Record<RuleCode, readonly string[]>>>;

function ruleFault(code: RuleCode, pattern: string, fit: Readable | null): string | null {
  if (fit === null || fit[code]?.includes(pattern)) return null;
  return `the policy engine cannot read the ${IN_RULES[code]} ${pattern}`;
}

/** Those of the patterns of rules that the module can read. */
async function readable(wasm: string, found: readonly Unjudged[]): Promise<Readable> {
  const codes = Object.keys(IN_RULES) as RuleCode[];
  const asked = codes.map((code) => [code, patternsOf(found, code)] as const);
  if (asked.every(([, patterns]) => patterns.length === 0)) return {};
  const instance = createInstance(await loadProgram(Buffer.from(wasm, "base64"), "{}", LIMITS));
  const input = jsonBuffer(JSON.stringify(Object.fromEntries(asked)));
  return instance.evaluate("portcullis/patterns", input, 0, LIMITS.steps) as Readable;
}

function patternsOf(found: readonly Unjudged[], code: RuleCode): readonly string[] {
  return found.flatMap((one) => (one.code === code ? [one.pattern ?? ""] : []));
}
