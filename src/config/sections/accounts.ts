import { z } from "zod";
import { secretRef } from "../secret.ts";
import { httpUrl, name, type ToAbsolute, words } from "../values.ts";
import { clientKeys, oneProof } from "./oauth-client.ts";

/** A third party whose accounts users may link. */
const provider = (absolute: ToAbsolute) =>
  z
    .strictObject({
      ...clientKeys(absolute),
      authorization_endpoint: httpUrl.optional(),
      title: z.string().min(1).max(64).optional().describe("For the pages; default: its name here."),
      scopes: words.default([]),
      parameters: z
        .record(z.string().regex(/^[a-z_]+$/), z.string().max(256))
        .default({})
        .describe("Further parameters of the authorization request, such as access_type: offline."),
    })
    .superRefine(oneProof)
    .superRefine(({ token_endpoint, authorization_endpoint }, context) => {
      if ((token_endpoint === undefined) === (authorization_endpoint === undefined)) return;
      const message = "name both endpoints, authorization_endpoint and token_endpoint, or neither";
      context.addIssue({ code: "custom", path: ["client_id"], params: { code: "conflict" }, message });
    });

/** Connected accounts: users link their accounts at third parties, and calls are made with those. */
export const accounts = (absolute: ToAbsolute) =>
  z.strictObject({
    master_key: secretRef(absolute).describe(
      "32 bytes in base64 or hexadecimal: seals the link pages, and wraps the tenants' keys.",
    ),
    store: z
      .strictObject({ url: secretRef(absolute).describe("postgres://…") })
      .optional()
      .describe("PostgreSQL. Without: an embedded one in the state folder, for a single gateway."),
    transit: z
      .strictObject({
        vault: name.describe("One of vaults; the gateway asks it as itself."),
        mount: name.default("transit"),
      })
      .optional()
      .describe("The tenants' keys are in Vault's transit engine instead of the store."),
    sign_in: z
      .array(
        z
          .strictObject({
            ...clientKeys(absolute),
            scopes: words
              .refine((scopes) => scopes.includes("openid"), "without openid there is no ID token")
              .default(["openid", "profile"]),
          })
          .superRefine(oneProof),
      )
      .readonly()
      .default([])
      .describe(
        "How users sign in to link an account: the gateway as an OpenID Connect client of their issuer.",
      ),
    providers: z.record(name, provider(absolute)),
  });
