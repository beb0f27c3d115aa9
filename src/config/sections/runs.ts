import { z } from "zod";
import { count, seconds, words } from "../values.ts";

/** Runs: short-lived, narrowed tokens that users get for their agents at `/runs`. */
export const runs = z
  .strictObject({
    ttl: seconds
      .max(3600)
      .default(600)
      .describe("Seconds that a run lives, unless it is asked for less or more."),
    max_ttl: seconds.max(3600).default(3600).describe("Seconds that may be asked for."),
    per_user: count.max(1000).default(50).describe("Runs of one user at one time."),
    per_minute: count.max(1000).default(30).describe("Runs that one user may begin in a minute."),
    admins: words.default([]).describe("Roles that list and end all runs of their own tenant."),
  })
  .refine(({ ttl, max_ttl }) => ttl <= max_ttl, { path: ["ttl"], message: "ttl is at most max_ttl" });
