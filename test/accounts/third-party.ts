import { generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { Provider } from "oidc-provider/lib/provider.js";
import { createStore } from "../../src/authorization-server/store.ts";
import { systemClock } from "../../src/lib/clock.ts";

export interface ThirdParty {
  readonly issuer: string;
  /** Who sits there, or null: they do not allow it. */
  user: string | null;
  /** Seconds that access tokens live. */
  ttl: number;
  /** down: 503 to everything. hang: no answer until it is something else. */
  fault: "none" | "down" | "hang";
  /** Paths that were posted to. */
  readonly asked: string[];
  /** Kinds of the tokens that it was asked to revoke. */
  readonly revoked: string[];
  /** Whether an access token is good there. */
  accepts(token: string): Promise<boolean>;
  close(): Promise<void>;
}

const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
export const SECRET = "third-party-client-secret";

/** An account provider: oidc-provider with rotation and revocation; whoever comes is logged in as `user`. */
export async function aThirdParty(redirectUris: readonly string[]): Promise<ThirdParty> {
  let answer: (request: IncomingMessage, response: ServerResponse) => unknown = () => {};
  const held: (() => void)[] = [];
  const server = createServer(async (request, response) => {
    const path = request.url?.split("?")[0] ?? "";
    if (request.method === "POST") party.asked.push(path);
    if (party.fault === "down") return void response.writeHead(503).end();
    if (party.fault === "hang") await new Promise<void>((resolve) => held.push(resolve));
    answer(request, response);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  let fault: ThirdParty["fault"] = "none";

  const provider = new Provider(issuer, {
    jwks: { keys: [{ ...privateKey.export({ format: "jwk" }), alg: "ES256", use: "sig" }] },
    clientDefaults: { id_token_signed_response_alg: "ES256" },
    adapter: createStore(systemClock),
    clients: [
      {
        client_id: "gateway",
        client_secret: SECRET,
        redirect_uris: [...redirectUris],
        grant_types: ["authorization_code", "refresh_token"],
        response_types: ["code"],
        application_type: "native",
      },
    ],
    scopes: ["openid", "offline_access", "read", "write"],
    features: {
      devInteractions: { enabled: false },
      revocation: {
        enabled: true,
        allowedPolicy(_ctx, client, token) {
          party.revoked.push(token.kind);
          return token.clientId === client.clientId;
        },
      },
    },
    ttl: {
      AccessToken: () => party.ttl,
      RefreshToken: 3600,
      Grant: 3600,
      Session: 600,
      Interaction: 600,
      IdToken: 600,
      AuthorizationCode: 60,
    },
    rotateRefreshToken: true,
    issueRefreshToken: async () => true,
    expiresWithSession: async () => false,
    pkce: { required: () => true },
    cookies: { keys: ["for-this-test-alone"] },
    interactions: { url: (_ctx, { uid }) => `/interaction/${uid}` },
    findAccount: (_ctx, accountId) => ({ accountId, claims: async () => ({ sub: accountId }) }),
  });
  provider.silent = true;
  const callback = provider.callback();
  answer = (request, response) => {
    if (!request.url?.startsWith("/interaction/")) return callback(request, response);
    return interact(request, response).catch(() => response.writeHead(500).end());
  };

  async function interact(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { params } = await provider.interactionDetails(request, response);
    if (party.user === null)
      return provider.interactionFinished(request, response, { error: "access_denied" });
    const grant = new provider.Grant({ accountId: party.user, clientId: String(params.client_id) });
    grant.addOIDCScope(String(params.scope));
    const result = { login: { accountId: party.user }, consent: { grantId: await grant.save() } };
    return provider.interactionFinished(request, response, result);
  }

  const party: ThirdParty = {
    issuer,
    user: "ann-there",
    ttl: 300,
    get fault() {
      return fault;
    },
    set fault(next) {
      fault = next;
      for (const go of held.splice(0)) go();
    },
    asked: [],
    revoked: [],
    async accepts(token) {
      const response = await fetch(`${issuer}/me`, { headers: { authorization: `Bearer ${token}` } });
      return response.status === 200;
    },
    async close() {
      party.fault = "none";
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
  return party;
}
