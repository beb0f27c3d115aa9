import type * as v2 from "@modelcontextprotocol/client";
import { REDIRECT } from "./oauth.ts";
import { aBrowser } from "./world.ts";

export const INFO = { name: "a stock client", version: "1.0.0" };
export const METADATA = {
  client_name: INFO.name,
  redirect_uris: [REDIRECT],
  token_endpoint_auth_method: "none",
  grant_types: ["authorization_code", "refresh_token"],
  response_types: ["code"],
};

/** What an application must give a stock client: memory, and a way to a browser. It knows no URL of the server. */
export function anApplication(origin: string, user: string, clientMetadataUrl?: string) {
  const memory: {
    client?: { client_id: string };
    tokens?: v2.StoredOAuthTokens;
    verifier?: string;
    callback?: URL;
    discovery?: v2.OAuthDiscoveryState;
  } = {};
  return {
    memory,
    get redirectUrl() {
      return REDIRECT;
    },
    ...(clientMetadataUrl && { clientMetadataUrl }),
    clientMetadata: METADATA,
    clientInformation: () => memory.client,
    saveClientInformation(client: { client_id: string }) {
      memory.client = client;
    },
    tokens: () => memory.tokens,
    saveTokens(tokens: v2.StoredOAuthTokens) {
      memory.tokens = tokens;
    },
    saveCodeVerifier(verifier: string) {
      memory.verifier = verifier;
    },
    codeVerifier: () => memory.verifier ?? "",
    saveDiscoveryState(state: v2.OAuthDiscoveryState) {
      memory.discovery = state;
    },
    discoveryState: () => memory.discovery,
    async redirectToAuthorization(url: URL) {
      const { callback } = await aBrowser(origin).authorize(url, { user });
      if (callback === undefined) throw new Error(`no way back from ${url}`);
      memory.callback = callback;
    },
  };
}

export type Application = ReturnType<typeof anApplication>;
