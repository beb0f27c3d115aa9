import { z } from "zod";
import { secureUrl, tenantId } from "../values.ts";

const algorithm = z.enum([
  "ES256",
  "ES384",
  "ES512",
  "EdDSA",
  "PS256",
  "PS384",
  "PS512",
  "RS256",
  "RS384",
  "RS512",
]);

/** Keys fetched over plain http could be anyone's. */
const trustedUrl = secureUrl("who answers it decides who gets in");

const claim = z
  .union([z.string().min(1), z.array(z.string().min(1)).min(1).readonly()])
  .describe("A top-level claim's exact name, or the names on the way to a nested one.");

/** Who may say who is asking: token issuers, and what their claims mean. */
export const issuers = z.array(
  z.strictObject({
    issuer: trustedUrl.describe("Exactly as in the token's iss."),
    jwks_uri: trustedUrl,
    algorithms: z.array(algorithm).min(1).readonly().default(["ES256"]),
    tenant: z
      .union([z.strictObject({ claim }), z.strictObject({ fixed: tenantId })])
      .describe("Which tenant its users act for: a claim's value, or always the same."),
    claims: z
      .strictObject({
        roles: claim.optional(),
        scopes: claim.optional(),
        client: claim.optional(),
        kind: claim.optional(),
        home_tenant: claim.optional(),
        attributes: z.record(z.string().min(1), claim).optional(),
      })
      .prefault({})
      .describe(
        "Which claim feeds which field of the principal; what is not named keeps the standard claim, or stays empty.",
      ),
    clock_tolerance: z.int().min(0).max(300).default(5).describe("Seconds."),
  }),
);
