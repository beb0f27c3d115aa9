import { z } from "zod";
import { name, seconds, words } from "../values.ts";

const upstreams = z.array(name).min(1).readonly().describe("The upstreams that may receive it.");

/** Credential sources: configured ways to obtain a secret. */
export const credentials = z.record(
  name,
  z.discriminatedUnion("type", [
    z.strictObject({ type: z.literal("none"), upstreams }),
    z.strictObject({
      type: z.literal("signed-jwt"),
      audience: z.string().min(1).describe("The upstream's own audience (aud)."),
      ttl: seconds.max(3600).default(60).describe("Seconds."),
      roles: words.default([]).describe("Roles that may be asked of it; none listed: no role."),
      upstreams,
    }),
  ]),
);
