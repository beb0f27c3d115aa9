import { generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { createLocalJWKSet, type JSONWebKeySet, jwtVerify } from "jose";
import { Provider } from "oidc-provider/lib/provider.js";
import { afterEach } from "vitest";
import { createStore } from "../../src/authorization-server/store.ts";
import { systemClock } from "../../src/lib/clock.ts";
import { PUBLIC_URL } from "./support.ts";

const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

const EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange";
const own = generateKeyPairSync("ec", { namedCurve: "P-256" });
const OWN = { alg: "ES256", use: "sig", kid: "one" };
const published = { keys: [{ ...own.publicKey.export({ format: "jwk" }), ...OWN }] } as JSONWebKeySet;
const clientKey = generateKeyPairSync("ec", { namedCurve: "P-256" });

export const SECRET = "identity-provider-client-secret";
export const CLIENT_KEY = clientKey.privateKey.export({ type: "pkcs8", format: "pem" }).toString();

export interface Idp {
  readonly issuer: string;
  /** Bodies of the requests to the token endpoint, and how often metadata were fetched. */
  readonly asked: URLSearchParams[];
  discoveries: number;
  revocations: number;
  /** Whether it still knows a token of the service's own, where that is no JWT. */
  knows(token: string): Promise<boolean>;
  fault: null | ((request: IncomingMessage, response: ServerResponse) => void);
  /** By which it verifies what the gateway signs. */
  trust: () => JSONWebKeySet;
  /** The claims of one of its tokens. */
  claims(token: string): Promise<Record<string, unknown>>;
}

/** An identity provider with token exchange (RFC 8693), client credentials, and revocation: oidc-provider. */
export async function anIdp(): Promise<Idp> {
  let answer: (request: IncomingMessage, response: ServerResponse) => unknown = () => {};
  const server = createServer((request, response) => {
    if (request.url?.includes("/.well-known/")) idp.discoveries += 1;
    if (request.url === "/token/revocation") idp.revocations += 1;
    if (idp.fault !== null) idp.fault(request, response);
    else answer(request, response);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  closers.push(async () => {
    server.closeAllConnections();
    server.close();
    await once(server, "close");
  });
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const jwks = { keys: [{ ...own.privateKey.export({ format: "jwk" }), ...OWN }] };
  const resourceServer = (audience: string, scope: string) => ({
    audience,
    scope,
    accessTokenTTL: 300,
    accessTokenFormat: "jwt" as const,
    jwt: { sign: { alg: "ES256" as const } },
  });
  const provider = new Provider(issuer, {
    jwks,
    adapter: createStore(systemClock),
    clientDefaults: { id_token_signed_response_alg: "ES256" },
    clients: [
      client({
        client_id: "gateway",
        client_secret: SECRET,
        token_endpoint_auth_method: "client_secret_post",
      }),
      client({
        client_id: "gateway-by-key",
        token_endpoint_auth_method: "private_key_jwt",
        token_endpoint_auth_signing_alg: "ES256",
        jwks: { keys: [{ ...clientKey.publicKey.export({ format: "jwk" }), kid: "k1" }] },
      }),
    ],
    scopes: ["crm:read", "crm:refund"],
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      revocation: {
        enabled: true,
        allowedPolicy: (_ctx, { clientId }, token) => token.clientId === clientId,
      },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_ctx, resource) => resourceServer(resource, "crm:read crm:refund"),
      },
    },
    extraTokenClaims: (ctx) => (ctx.oidc.params?.claims_of ?? {}) as Record<string, never>,
  });
  provider.silent = true;
  provider.on("grant.success", (ctx) => record(ctx.oidc.params));
  provider.on("grant.error", (ctx) => record(ctx.oidc.params));
  const record = (params: Record<string, unknown> = {}) =>
    idp.asked.push(
      new URLSearchParams(
        Object.entries(params).filter((pair): pair is [string, string] => typeof pair[1] === "string"),
      ),
    );

  provider.registerGrantType(
    EXCHANGE,
    async (ctx) => {
      const { subject_token, audience, scope } = ctx.oidc.params as Record<string, string>;
      try {
        const verified = await jwtVerify(subject_token ?? "", createLocalJWKSet(idp.trust()), {
          issuer: PUBLIC_URL,
          audience: issuer,
          typ: "portcullis+jwt",
          currentDate: new Date(1_800_000_000_000),
        });
        const { AccessToken } = provider;
        const token = new AccessToken({
          accountId: `${verified.payload.tenant}/${verified.payload.sub}`,
          client: ctx.oidc.client,
          scope,
          grantId: "exchange",
        } as never);
        token.resourceServer = new provider.ResourceServer(
          audience ?? "",
          resourceServer(audience ?? "", scope ?? ""),
        ) as never;
        ctx.body = {
          access_token: await token.save(),
          issued_token_type: "urn:ietf:params:oauth:token-type:access_token",
          token_type: "Bearer",
          expires_in: 300,
          scope,
        };
      } catch {
        ctx.status = 400;
        ctx.body = { error: "invalid_request", error_description: `bad subject_token ${subject_token}` };
      }
    },
    ["subject_token", "subject_token_type", "requested_token_type", "audience", "scope"],
  );
  answer = provider.callback();

  const idp: Idp = {
    issuer,
    asked: [],
    discoveries: 0,
    revocations: 0,
    fault: null,
    trust: () => ({ keys: [] }),
    knows: async (token) => (await provider.ClientCredentials.find(token)) !== undefined,
    async claims(token) {
      return (await jwtVerify(token, createLocalJWKSet(published), { issuer })).payload;
    },
  };
  return idp;
}

function client(own: Record<string, unknown>) {
  return {
    redirect_uris: [],
    response_types: [],
    grant_types: [EXCHANGE, "client_credentials"],
    ...own,
  } as never;
}
