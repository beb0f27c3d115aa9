import { z } from "zod";
import { count, milliseconds, path, size, type ToAbsolute } from "../values.ts";

export const policies = (absolute: ToAbsolute) =>
  z.strictObject({
    path: path(absolute).describe("The folder of the platform's layer."),
    tenant_schema: path(absolute).optional().describe("JSON Schema of every tenant's record."),
  });

/** The definitions as they were first seen or last approved: a lockfile, to be committed and reviewed. */
export const pins = (absolute: ToAbsolute) =>
  z
    .strictObject({
      path: path(absolute).prefault("./pins.json").describe("The file of pinned definitions."),
    })
    .prefault({});

/** What must survive a restart and is no record: signing keys, suspended tenants, the control socket. */
export const state = (absolute: ToAbsolute) =>
  z.strictObject({ path: path(absolute).prefault("./.portcullis/state") }).prefault({});

export const audit = (absolute: ToAbsolute) =>
  z
    .strictObject({
      path: path(absolute).prefault("./.portcullis/log").describe("The decision log's folder."),
      segment_bytes: size.prefault("64Mi").describe("A new file is begun at this size."),
    })
    .prefault({});

export const limits = z
  .strictObject({
    body: size.prefault("1Mi").describe("The largest request body."),
    depth: z.int().min(8).max(512).default(64).describe("The deepest JSON."),
    connections: count
      .optional()
      .describe(
        "Connections that are open at once; those that ask nothing make way. Default: 10,000, or half of the files that the process may have open.",
      ),
    header_ms: milliseconds.default(10_000).describe("The longest wait for a request's headers."),
    body_ms: milliseconds.default(30_000).describe("The longest wait for a request's body."),
    sessions: count.default(1000).describe("Open legacy sessions."),
    tenant_share: z
      .number()
      .gt(0)
      .max(1)
      .default(0.5)
      .describe(
        "The part of the requests, sessions, held calls, tasks, streams and processes that one tenant of several may hold.",
      ),
    session_idle_ms: milliseconds.default(1_800_000),
    in_flight: count
      .default(1000)
      .describe("Requests that are being answered; half of what its tenant may have is one user's."),
    drain_ms: milliseconds.default(10_000).describe("How long open requests may finish at SIGTERM."),
  })
  .prefault({});

export const log = z
  .strictObject({
    level: z.enum(["fatal", "error", "warn", "info", "debug", "trace", "silent"]).default("info"),
  })
  .prefault({});
