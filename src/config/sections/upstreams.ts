import { z } from "zod";
import { readUri } from "../../lib/uri.ts";
import { readTemplate } from "../../lib/uri-template.ts";
import { type SecretRef, toSecretRef } from "../secret.ts";
import { httpUrl, labels, milliseconds, name, path, type ToAbsolute } from "../values.ts";

const common = {
  labels: labels
    .default([])
    .describe("For every target of this upstream; policy sees them as input.target.labels."),
  targets: z
    .record(z.string().min(1).max(128), z.strictObject({ labels }))
    .default({})
    .describe("Labels for single tools, by their name at the upstream."),
  resources: z
    .record(
      z.string().refine((uri) => readUri(uri).ok, "write an absolute URI"),
      z.strictObject({ labels }),
    )
    .default({})
    .describe("Labels for single resources, listed or not, by their URI at the upstream."),
  templates: z
    .record(
      z.string().refine((text) => readTemplate(text).ok, "write a URI template as the upstream lists it"),
      z.strictObject({ labels }),
    )
    .default({})
    .describe("Labels for single resource templates, by their uriTemplate at the upstream."),
  prompts: z
    .record(z.string().min(1).max(128), z.strictObject({ labels }))
    .default({})
    .describe("Labels for single prompts, by their name at the upstream."),
  timeout_ms: milliseconds.default(60_000).describe("The longest wait for one answer."),
};

const overHttp = (absolute: ToAbsolute) =>
  z.strictObject({
    url: httpUrl.describe("The Streamable HTTP endpoint."),
    ca: path(absolute).optional().describe("PEM: the authority of its certificate; without, the system's."),
    era: z
      .enum(["auto", "legacy", "modern"])
      .default("auto")
      .describe("legacy: up to 2025-11-25. modern: 2026-07-28."),
    credential: name.optional().describe("The source for the gateway's own requests: discovery and listing."),
    ...common,
  });

/** An environment variable of a child: a literal, a secret by reference, or a path made absolute. */
export type EnvironmentValue = string | SecretRef;

/** Variables named like this hold secrets, and a secret does not stand in a configuration. */
const SECRET_NAME = /(^|_)(TOKEN|SECRET|KEY|PASSWORD|PASSWD|PASSPHRASE|CREDENTIALS?)$/i;
const REFERENCE = /^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+)$/;

/** Begins like what is looked up, and is not: the child would be given the text itself. */
const MISWRITTEN = /^(env:(?![A-Za-z_][A-Za-z0-9_]*$)|file:$|path:$)/;

const environment = (absolute: ToAbsolute) =>
  z
    .record(
      z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, "not a name for an environment variable"),
      z.string(),
    )
    .default({})
    .superRefine((variables, context) => {
      for (const [variable, value] of Object.entries(variables)) {
        if (MISWRITTEN.test(value)) {
          const message = "write env:NAME, file:PATH or path:PATH";
          context.addIssue({ code: "custom", path: [variable], message });
          continue;
        }
        if (!SECRET_NAME.test(variable) || REFERENCE.test(value)) continue;
        const message = `${variable} is a secret: name where it is kept instead`;
        context.addIssue({
          code: "custom",
          path: [variable],
          params: { code: "secret_literal", hint: "write env:NAME or file:PATH" },
          message,
        });
      }
    })
    .transform((variables) => mapValues(variables, (value) => environmentValue(value, absolute)))
    .describe("Literals, env:NAME or file:PATH for secrets, path:PATH for a path made absolute.");

function environmentValue(value: string, absolute: ToAbsolute): EnvironmentValue {
  if (REFERENCE.test(value)) return toSecretRef(value, absolute);
  return value.startsWith("path:") ? absolute(value.slice("path:".length)) : value;
}

function mapValues<From, To>(
  record: Readonly<Record<string, From>>,
  map: (value: From) => To,
): Record<string, To> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, map(value)]));
}

const overStdio = (absolute: ToAbsolute) =>
  z.strictObject({
    command: z
      .array(z.string().min(1))
      .min(1)
      .readonly()
      .describe("The program and its arguments; no shell."),
    env: environment(absolute),
    cwd: z
      .string()
      .min(1)
      .prefault(".")
      .transform(absolute)
      .describe("Relative to this file; its folder by default."),
    isolation: z
      .enum(["shared", "tenant", "user", "lease"])
      .default("shared")
      .describe("What has a process of its own. lease: credentials travel in the process's environment."),
    max_children: z.int().min(1).max(4096).default(64).describe("The most processes at once."),
    idle_ms: milliseconds.default(300_000).describe("A process without a request for so long is ended."),
    ...common,
  });

/** The real MCP servers, over Streamable HTTP (`url`) or stdio (`command`). */
export const upstreams = (absolute: ToAbsolute) =>
  z.record(
    name,
    z.union([
      overHttp(absolute).transform((given) => ({ transport: "http" as const, ...given })),
      overStdio(absolute).transform((given) => ({ transport: "stdio" as const, ...given })),
    ]),
  );
