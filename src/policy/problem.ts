import type { Problem } from "./toolchain-types.ts";

/** An error about a whole file, or about the policies as such where there is none. */
export function problem(code: string, message: string, file = ""): Problem {
  return { severity: "error", code, message, file, row: 0, col: 0 };
}
