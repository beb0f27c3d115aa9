import { z } from "zod";
import { secretRef } from "../secret.ts";
import { secureUrl, type ToAbsolute } from "../values.ts";

/** Secrets and codes sent over plain http would be anyone's. */
const endpoint = secureUrl("secrets are sent to it");

/** The gateway as a client of an authorization server. */
export const clientKeys = (absolute: ToAbsolute) => ({
  issuer: endpoint
    .optional()
    .describe("Exactly as in its metadata, which is fetched unless endpoints are named."),
  token_endpoint: endpoint.optional(),
  revocation_endpoint: endpoint.optional(),
  client_id: z.string().min(1).max(512),
  client_secret: secretRef(absolute).optional(),
  private_key: secretRef(absolute)
    .optional()
    .describe("For private_key_jwt: PKCS #8 in PEM, P-256, Ed25519 or RSA."),
  key_id: z.string().min(1).max(256).optional().describe("The private key's kid."),
});

interface Proofs {
  readonly issuer?: string | undefined;
  readonly token_endpoint?: string | undefined;
  readonly client_secret?: unknown;
  readonly private_key?: unknown;
}

/** A way to find the provider, and at most one way to prove who asks. */
export function oneProof(client: Proofs, context: z.RefinementCtx): void {
  const fail = (path: string, message: string): void =>
    context.addIssue({ code: "custom", path: [path], params: { code: "conflict" }, message });
  if (client.issuer === undefined && client.token_endpoint === undefined)
    fail("client_id", "name the issuer, or the token_endpoint");
  if (client.client_secret !== undefined && client.private_key !== undefined)
    fail("private_key", "either client_secret or private_key");
}
