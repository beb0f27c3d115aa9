import { z } from "zod";
import { name, seconds, words } from "../values.ts";
import { pathTemplate, uriTemplate, vaultPath } from "./vault-paths.ts";

/** What the gateway itself sets, or a hop reads. */
const RESERVED =
  /^(host|connection|content-.*|transfer-encoding|te|upgrade|accept.*|mcp-.*|portcullis-.*|cookie)$/;

const header = z
  .string()
  .regex(/^[A-Za-z0-9-]{1,64}$/, "not a header's name")
  .transform((text) => text.toLowerCase())
  .refine((text) => !RESERVED.test(text), "this header is not free for a secret");

const scheme = z.enum(["bearer", "basic", "raw"]);
const field = z.string().min(1).max(64);

type Scheme = z.output<typeof scheme>;

/** How a secret travels: in a header by default; in the environment alone if that alone is named. */
const inject = (standard: { readonly scheme: Scheme; readonly field: string } | null) =>
  z
    .strictObject({
      header: header.optional(),
      scheme: scheme.optional(),
      field: field.optional().describe("The field of the secret that the header carries."),
      env: z
        .record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, "not a name for an environment variable"), field)
        .refine((variables) => Object.keys(variables).length > 0, "name a variable")
        .optional()
        .describe("Fields of the secret by variable, for a child of its own."),
    })
    .prefault({})
    .transform((given) => {
      const { env } = given;
      const named = given.header !== undefined || given.scheme !== undefined || given.field !== undefined;
      const inHeader = named || (env === undefined && standard !== null);
      return {
        ...(inHeader && {
          header: {
            name: given.header ?? "authorization",
            scheme: given.scheme ?? standard?.scheme ?? "bearer",
            field: given.field ?? standard?.field ?? "token",
          },
        }),
        ...(env && { env }),
      };
    });

const common = {
  vault: name.describe("One of vaults."),
  ttl: seconds.max(3600).default(60).describe("Seconds; what is in use is renewed."),
  roles: words.default([]).describe("Roles that may be asked of it; none listed: no role."),
  upstreams: z.array(name).min(1).readonly().describe("The upstreams that may receive it."),
};

/** Credential sources that are in a Vault. */
export const vaultSources = [
  z.strictObject({
    type: z.literal("vault-dynamic"),
    path: pathTemplate.describe("Any creds path, such as database/creds/{tenant}.{role}."),
    inject: inject({ scheme: "basic", field: "password" }),
    ...common,
  }),
  z.strictObject({
    type: z.literal("vault-identity"),
    role: pathTemplate.describe("Of identity/oidc/role; its client_id is the upstream's audience."),
    inject: inject({ scheme: "bearer", field: "token" }),
    ...common,
  }),
  z.strictObject({
    type: z.literal("vault-kv"),
    mount: vaultPath.default("kv"),
    path: pathTemplate.describe("Below the mount, such as tenants/{tenant}/users/{subject}/search."),
    inject: inject({ scheme: "bearer", field: "token" }),
    ...common,
  }),
  z.strictObject({
    type: z.literal("vault-pki"),
    mount: vaultPath.default("pki"),
    role: pathTemplate,
    uri_san: uriTemplate.describe(
      "What the certificate names, such as spiffe://gw/tenant/{tenant}/{subject}.",
    ),
    inject: inject(null),
    ...common,
  }),
] as const;
