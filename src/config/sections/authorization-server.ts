import { z } from "zod";
import { path, type ToAbsolute, tenantId, words } from "../values.ts";

/** Sample users by name. They have no passwords: whoever reaches the login page may choose one. */
export const users = z.record(
  z.string().regex(/^[a-z0-9]+([-_.][a-z0-9]+)*$/, "use lower-case letters and digits"),
  z.strictObject({
    name: z.string().min(1).optional().describe("For the login page."),
    tenant: tenantId,
    roles: words.default([]),
  }),
);

/** The embedded authorization server, for demonstrations on one machine. */
export const authorizationServer = (absolute: ToAbsolute) =>
  z.strictObject({
    users: z.union([path(absolute), users]).describe("Sample users, or the file that holds them."),
  });
