import type { Json } from "../lib/json.ts";
import { problem } from "./problem.ts";
import type { Problem } from "./toolchain-types.ts";

/** Far above any sensible policy, far below what harms the process. */
const LIMITS = {
  files: 2000,
  /** All sources together, UTF-16 code units. */
  sourceLength: 8 * 1024 * 1024,
  /** Nesting of data, schemas and input. */
  depth: 128,
} as const;

interface Bounded {
  readonly files: Readonly<Record<string, string>>;
  readonly data?: Json;
  readonly schema?: Json;
  readonly input?: Json;
}

/** The first limit that a request is beyond, found before the toolchain sees it. */
export function beyondLimits({ files, data, schema, input }: Bounded): Problem | undefined {
  const paths = Object.keys(files);
  if (paths.length > LIMITS.files) return excess("", `more than ${LIMITS.files} files`);
  const stray = paths.find((path) => !path.endsWith(".rego"));
  if (stray !== undefined) return excess(stray, "a policy file ends in .rego");
  const length = Object.values(files).reduce((sum, source) => sum + source.length, 0);
  if (length > LIMITS.sourceLength)
    return excess("", `sources longer than ${LIMITS.sourceLength} characters together`);
  const deep = Object.entries({ data, schema, input }).find(
    ([, value]) => value !== undefined && tooDeep(value),
  );
  return deep && excess("", `${deep[0]} is nested more than ${LIMITS.depth} deep`);
}

/** Level by level, so that no depth exhausts the stack. */
function tooDeep(value: Json): boolean {
  let level: Json[] = [value];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > LIMITS.depth) return true;
    level = level.flatMap((node) =>
      typeof node === "object" && node !== null ? (Object.values(node) as Json[]) : [],
    );
  }
  return false;
}

function excess(file: string, message: string): Problem {
  return problem("limit_exceeded", message, file);
}
