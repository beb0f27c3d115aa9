import { createInstance, jsonBuffer, loadProgram } from "./instance.ts";
import { patternFault } from "./pattern.ts";
import type { Problem } from "./toolchain-types.ts";

/** A pattern that the toolchain found in a policy: the engine that will run it says whether it can. */
export interface Unjudged extends Omit<Problem, "severity" | "code"> {
  readonly severity: "unjudged";
  /** `pattern_invalid`: of a bound. `regex_invalid`: of a rule. */
  readonly code: "pattern_invalid" | "regex_invalid";
  /** Absent: "". */
  readonly pattern?: string;
}

const LIMITS = { steps: 0x7fffffff, memory: 64 * 1024 * 1024 };

/** @param wasm in base64, the module that runs the rules; null: there is none, and their patterns stay unjudged */
export async function judged(
  found: readonly (Problem | Unjudged)[],
  wasm: string | null,
): Promise<readonly Problem[]> {
  const regexes = found.flatMap((one) => (one.code === "regex_invalid" ? [patternOf(one)] : []));
  const fit = wasm === null || regexes.length === 0 ? new Set(regexes) : await readable(wasm, regexes);
  return found.flatMap((one) => {
    if (one.severity !== "unjudged") return [one];
    const { pattern = "", ...place } = one;
    const message = one.code === "regex_invalid" ? regexFault(pattern, fit) : patternFault(pattern);
    return message === null ? [] : [{ ...place, severity: "error", message }];
  });
}

function patternOf(one: Problem | Unjudged): string {
  return "pattern" in one ? (one.pattern ?? "") : "";
}

function regexFault(pattern: string, fit: ReadonlySet<string>): string | null {
  return fit.has(pattern) ? null : `the policy engine cannot read the regular expression ${pattern}`;
}

/** Those of the patterns that the RE2 within the module can read. */
async function readable(wasm: string, patterns: readonly string[]): Promise<ReadonlySet<string>> {
  const instance = createInstance(await loadProgram(Buffer.from(wasm, "base64"), "{}", LIMITS));
  const input = jsonBuffer(JSON.stringify({ patterns }));
  return new Set(instance.evaluate("portcullis/patterns", input, 0, LIMITS.steps) as readonly string[]);
}
