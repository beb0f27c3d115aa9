import { z } from "zod";
import { type DeepReadonly, name, path, seconds, type ToAbsolute, tenantId, words } from "../values.ts";

/** One tenant: its record, its own policies, and what it is given. */
export const tenant = (absolute: ToAbsolute) =>
  z.strictObject({
    record: z
      .union([path(absolute), z.record(z.string(), z.unknown())])
      .describe("What policy sees as input.tenant, or its file."),
    policies: path(absolute).optional().describe("The tenant's own layer."),
    servers: z.array(name).readonly().describe("The virtual servers its users may reach."),
    credentials: z
      .record(
        name,
        z.strictObject({
          roles: words.default([]),
          max_ttl: seconds.default(300).describe("Seconds; the longest lease, renewals included."),
        }),
      )
      .default({})
      .describe("The credential sources its grants may name."),
    attributes: path(absolute).optional().describe("A file: principal attributes by issuer and subject."),
  });

export type TenantSection = DeepReadonly<z.output<ReturnType<typeof tenant>>>;

/** Tenants by id, or a folder with one such file for each. */
export const tenants = (absolute: ToAbsolute) =>
  z.union([
    z.strictObject({ path: path(absolute) }).transform(({ path }) => ({ kind: "directory" as const, path })),
    z.record(tenantId, tenant(absolute)).transform((entries) => ({ kind: "inline" as const, entries })),
  ]);
