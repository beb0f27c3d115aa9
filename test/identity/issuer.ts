import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { type CryptoKey, exportJWK, generateKeyPair, type JWK, type JWTPayload, SignJWT } from "jose";

export const EPOCH = 1_800_000_000;

/** A clock that tests turn by hand. Seconds in, milliseconds out. */
export function handClock() {
  let now = EPOCH * 1_000;
  return Object.assign(() => now, {
    advance(seconds: number) {
      now += seconds * 1_000;
    },
  });
}

export interface SignOptions {
  readonly kid?: string;
  readonly typ?: string;
  readonly header?: Record<string, unknown>;
}

/** An authorization server's JWKS endpoint on loopback, counted, that rotates, fails and signs. */
export async function startIssuer(path = "/jwks") {
  const signers = new Map<string, { key: CryptoKey; jwk: JWK }>();
  let published: string[] = [];
  let answer: ((request: IncomingMessage, response: ServerResponse) => void) | undefined;
  let fetches = 0;

  async function addKey(kid: string, alg = "ES256") {
    const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true });
    signers.set(kid, { key: privateKey, jwk: { ...(await exportJWK(publicKey)), kid, alg, use: "sig" } });
  }

  const server = createServer((request, response) => {
    fetches += 1;
    if (answer) return answer(request, response);
    const keys = published.map((kid) => signers.get(kid)?.jwk);
    response.setHeader("content-type", "application/jwk-set+json").end(JSON.stringify({ keys }));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  await addKey("one");
  published = ["one"];

  return {
    issuer: origin,
    jwks_uri: `${origin}${path}`,
    addKey,
    get fetches() {
      return fetches;
    },
    publish(...kids: string[]) {
      published = kids;
    },
    /** Answers like this from now on; undefined: with the keys again. */
    answerWith(how: typeof answer) {
      answer = how;
    },
    publicJwk: (kid: string) => signers.get(kid)?.jwk,
    async sign(claims: JWTPayload, { kid = "one", typ = "at+jwt", header = {} }: SignOptions = {}) {
      const signer = signers.get(kid);
      if (signer === undefined) throw new Error(`no key ${kid}`);
      return new SignJWT(claims)
        .setProtectedHeader({ alg: signer.jwk.alg ?? "ES256", kid, typ, ...header })
        .sign(signer.key);
    },
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

export type Issuer = Awaited<ReturnType<typeof startIssuer>>;

export const audience = (server: string) => `https://gate.example/mcp/${server}`;

/** The claims of a good token of this issuer for the virtual server `support`. */
export function good(issuer: Issuer, changes: Record<string, unknown> = {}): JWTPayload {
  return {
    iss: issuer.issuer,
    aud: audience("support"),
    sub: "ann",
    tenant: "acme",
    iat: EPOCH,
    exp: EPOCH + 600,
    scope: "mcp",
    ...changes,
  };
}
