import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { Secret } from "../../lib/secret.ts";

/** The company's own issuer of tokens, as far as a demonstration needs one: keys, and tokens for whom one says. */
export interface DemoIssuer {
  readonly issuer: string;
  /** An access token (RFC 9068) of ten minutes. */
  token(user: {
    readonly subject: string;
    readonly tenant: string;
    readonly roles: readonly string[];
    readonly audience: string;
  }): Promise<Secret>;
  close(): Promise<void>;
}

const LIFE = "10m";

export async function startIssuer(): Promise<DemoIssuer> {
  const { privateKey, publicKey } = await generateKeyPair("ES256");
  const keys = JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), kid: "demo", alg: "ES256" }] });
  const server = createServer((request, response) => {
    response.setHeader("content-type", "application/json");
    if (request.url === "/jwks") response.end(keys);
    else response.writeHead(404).end("{}");
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    issuer,
    async token({ subject, tenant, roles, audience }) {
      const token = new SignJWT({ tenant, roles: [...roles], client_id: "demo", scope: "mcp" })
        .setProtectedHeader({ alg: "ES256", kid: "demo", typ: "at+jwt" })
        .setIssuer(issuer)
        .setSubject(subject)
        .setAudience(audience)
        .setIssuedAt()
        .setJti(crypto.randomUUID())
        .setExpirationTime(LIFE);
      return new Secret(await token.sign(privateKey));
    },
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}
