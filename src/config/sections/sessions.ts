import { z } from "zod";
import { secretRef } from "../secret.ts";
import type { ToAbsolute } from "../values.ts";

const valkey = (absolute: ToAbsolute) =>
  z.strictObject({
    url: z
      .string()
      .regex(
        /^rediss?:\/\/[^/@\s?#]+(\/\d{1,5})?$/,
        "write redis://host:port or rediss://host:port, without a password",
      )
      .describe("A Valkey or Redis server, from version 7 on; rediss:// is TLS."),
    username: z.string().min(1).max(128).optional(),
    password: secretRef(absolute).optional(),
    ca: z
      .string()
      .min(1)
      .transform(absolute)
      .optional()
      .describe("PEM of the authority that signed its certificate; without: the system's."),
    prefix: z
      .string()
      .regex(/^[\w:-]{0,64}$/, "use letters, digits, _ - and :")
      .default("portcullis:")
      .describe("Of every key, so that several gateways can share a server."),
  });

/** What outlives a request and is the same for every replica. */
export const sessions = (absolute: ToAbsolute) =>
  z.strictObject({
    store: z
      .union([z.literal("memory"), valkey(absolute)])
      .default("memory")
      .describe("memory: one replica. A server: any replica serves any request."),
    key: secretRef(absolute)
      .optional()
      .describe(
        "Seals what is kept in the store or in clients' hands: 32 characters or more, the same for all replicas.",
      ),
  });
