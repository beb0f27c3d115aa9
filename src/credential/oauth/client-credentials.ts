import type { CredentialSource } from "../source.ts";
import { createGrantSource, type GrantSourceOptions } from "./grant-source.ts";

/** The service's own token (RFC 6749 section 4.4): the upstream sees the gateway and not the user. */
export function createClientCredentialsSource(
  options: Omit<GrantSourceOptions, "grantType" | "parameters" | "keys">,
): CredentialSource {
  return createGrantSource({ ...options, grantType: "client_credentials", parameters: async () => ({}) });
}
