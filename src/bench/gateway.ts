import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { freePort } from "../demo/free-port.ts";

/** A configuration with everything on: tokens, policy with bounds, a credential, a durable record of each call. */
export interface GatewaySetup {
  readonly config: string;
  readonly token: string;
  close(): Promise<void>;
}

/** Rules about tools that nobody calls: what a policy of a hundred rules costs the one that is called. */
const RULES = 100;

export const POLICY = `package authz

grant contains {
	"reason": "benchmarks echo",
	"arguments": {"message": {"maxLength": 1000}},
	"credential": {"source": "signer", "role": "echo"},
} if {
	input.target.upstream == "fixed"
	input.target.name == "echo"
	"bench" in input.principal.roles
}
${Array.from(
  { length: RULES },
  (_, index) => `
grant contains {"reason": "rule ${index}"} if {
	input.target.name == "tool_${index}"
	"role_${index}" in input.principal.roles
}
`,
).join("")}`;

/** Writes the configuration of a gateway in front of `upstream`, and mints a token for it. */
export async function setUpGateway(upstream: string): Promise<GatewaySetup> {
  const directory = await mkdtemp(join(tmpdir(), "portcullis-bench-"));
  const port = await freePort();
  const issuer = await startIssuer();
  const origin = `http://127.0.0.1:${port}`;
  await mkdir(join(directory, "policies"));
  await writeFile(join(directory, "policies", "authz.rego"), POLICY);
  const config = join(directory, "portcullis.yaml");
  await writeFile(
    config,
    JSON.stringify({
      listen: { port, public_url: origin },
      issuers: [
        {
          issuer: issuer.url,
          jwks_uri: `${issuer.url}/jwks`,
          tenant: { fixed: "bench" },
          claims: { roles: "roles" },
        },
      ],
      upstreams: { fixed: { url: upstream, era: "legacy" } },
      servers: { bench: { upstreams: ["fixed"] } },
      credentials: {
        signer: {
          type: "signed-jwt",
          audience: "https://fixed.example",
          roles: ["echo"],
          upstreams: ["fixed"],
        },
      },
      policies: { path: "./policies" },
      tenants: {
        bench: {
          record: { name: "bench" },
          servers: ["bench"],
          credentials: { signer: { roles: ["echo"] } },
        },
      },
      log: { level: "error" },
    }),
  );
  return {
    config,
    token: await issuer.mint(`${origin}/mcp/bench`),
    async close() {
      issuer.close();
      await rm(directory, { recursive: true });
    },
  };
}

async function startIssuer() {
  const { publicKey, privateKey } = await generateKeyPair("ES256");
  const keys = JSON.stringify({
    keys: [{ ...(await exportJWK(publicKey)), kid: "bench", alg: "ES256", use: "sig" }],
  });
  const server = createServer((_, response) =>
    response.setHeader("content-type", "application/json").end(keys),
  );
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url,
    mint: (audience: string) =>
      new SignJWT({ roles: ["bench"], client_id: "bench" })
        .setProtectedHeader({ alg: "ES256", kid: "bench", typ: "at+jwt" })
        .setIssuer(url)
        .setSubject("bench")
        .setAudience(audience)
        .setIssuedAt()
        .setExpirationTime("1h")
        .sign(privateKey),
    close: () => server.close(),
  };
}
