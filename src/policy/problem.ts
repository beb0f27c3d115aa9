import { messageOf } from "../lib/errors.ts";
import type { Problem } from "./toolchain-types.ts";

/** An error about a whole file, or about the policies as such where there is none. */
export function problem(code: string, message: string, file = ""): Problem {
  return { severity: "error", code, message, file, row: 0, col: 0 };
}

/** What kept policies from deciding, where it was nothing in their files. */
export function unloadable(cause: unknown): Problem {
  return problem("policies_unloadable", messageOf(cause));
}
