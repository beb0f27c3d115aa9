import { z } from "zod";
import { name, seconds, type ToAbsolute, words } from "../values.ts";
import { clientKeys, oneProof } from "./oauth-client.ts";
import { vaultSources } from "./vault-sources.ts";

const upstreams = z.array(name).min(1).readonly().describe("The upstreams that may receive it.");

/** What an identity provider is asked for, by configuration and a grant's role alone. */
const asked = (absolute: ToAbsolute) => ({
  ...clientKeys(absolute),
  audience: z.string().min(1).optional().describe("The upstream's name at the provider (RFC 8693)."),
  resource: z.url().optional().describe("The upstream's URL (RFC 8707)."),
  scopes: words.default([]),
  roles: z
    .record(z.string().min(1).max(256), words)
    .default({})
    .describe("Roles that may be asked of it, each with the scopes that it adds."),
  ttl: seconds.max(3600).default(300).describe("Seconds; never longer than the token lives."),
  upstreams,
});

/** Credential sources: configured ways to obtain a secret. */
export const credentials = (absolute: ToAbsolute) =>
  z.record(
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
      z.strictObject({ type: z.literal("token-exchange"), ...asked(absolute) }).superRefine(oneProof),
      z.strictObject({ type: z.literal("client-credentials"), ...asked(absolute) }).superRefine(oneProof),
      z.strictObject({
        type: z.literal("connected-account"),
        account: name.describe("One of accounts.providers."),
        ttl: seconds.max(3600).default(300).describe("Seconds; never longer than the access token lives."),
        upstreams,
      }),
      ...vaultSources,
    ]),
  );
