import { z } from "zod";
import { secretRef } from "../secret.ts";
import { milliseconds, path, secureUrl, type ToAbsolute } from "../values.ts";
import { pathTemplate, vaultPath } from "./vault-paths.ts";

/** Tokens and secrets over plain http would be anyone's. */
const address = secureUrl("tokens and secrets travel over it").refine(
  (url) => !URL.canParse(url) || new URL(url).origin === url.replace(/\/$/, ""),
  "write scheme, host and port only",
);

const appRole = (absolute: ToAbsolute) =>
  z.strictObject({
    type: z.literal("approle"),
    mount: vaultPath.default("approle"),
    role_id: secretRef(absolute),
    secret_id: secretRef(absolute).describe("Read anew at each login, so that it may be rotated."),
  });

const jwt = z.strictObject({
  type: z.literal("jwt"),
  mount: vaultPath.default("jwt"),
  role: vaultPath,
  audience: z.string().min(1).default("vault").describe("One that no upstream has."),
});

/** Vault or OpenBao servers that credential sources are in. */
export const vault = (absolute: ToAbsolute) =>
  z.strictObject({
    address,
    ca: path(absolute).optional().describe("PEM: the authority of its certificate; without, the system's."),
    namespace: pathTemplate
      .optional()
      .describe("The tenant's own, such as tenants/{tenant}; needs OpenBao or Vault Enterprise."),
    login: z
      .discriminatedUnion("type", [jwt, appRole(absolute)])
      .describe(
        "How it logs in for a user: jwt as the user, so that Vault's own policies hold tenants apart.",
      ),
    manager: appRole(absolute)
      .extend({ namespace: vaultPath.optional() })
      .describe("The gateway's own identity, which renews and revokes."),
    issuer: z
      .string()
      .min(1)
      .optional()
      .describe(
        "Whose subjects stand in Vault as they are, where there are several issuers; the others' are hashed.",
      ),
    timeout_ms: milliseconds.default(5_000).describe("The longest wait for one secret."),
  });
