import * as v2 from "@modelcontextprotocol/client";
import { UnauthorizedError } from "@modelcontextprotocol/sdk/client/auth.js";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Application, anApplication, INFO } from "../authorization-server/stock-client.ts";
import { type Issuer, startIssuer } from "../identity/issuer.ts";
import { type Spy, serveSpy, text, tool } from "./upstreams.ts";
import { callTool, openWorld, type World } from "./world.ts";

const POLICY = `package authz

grant contains {"reason": "anyone echoes"} if input.target.name == "echo"

grant contains {"reason": "with more scope", "requires": ["refund_scope"]} if input.target.name == "refund"

grant contains {"reason": "with a fresh login", "requires": ["fresh_login"]} if input.target.name == "close"

# METADATA
# title: permission to refund
# custom:
#   step_up: {scope: refund}
holds.refund_scope if "refund" in input.principal.scopes

# METADATA
# title: a login in the last five minutes
# custom:
#   step_up: {max_age: 300}
holds.fresh_login if (time.now_ns() / 1000000000) - input.principal.auth_time < 300
`;

let spy: Spy;
let issuer: Issuer;
let world: World;

beforeAll(async () => {
  spy = await serveSpy({
    tools: () => ["echo", "refund", "close"].map((name) => tool(name, { text: { type: "string" } })),
    call: ({ params }) => text(`${params.name} done`),
  });
  issuer = await startIssuer();
  world = await openWorld({
    config: {
      issuers: [
        {
          issuer: issuer.issuer,
          jwks_uri: issuer.jwks_uri,
          tenant: { claim: "tenant" },
          claims: { roles: "roles" },
        },
      ],
      upstreams: { spy: { url: spy.url, era: "legacy" } },
      servers: {
        main: { upstreams: ["spy"] },
        other: { upstreams: ["spy"] },
        scoped: { upstreams: ["spy"], scopes: ["mcp", "desk"] },
      },
      tenants: {
        acme: { record: {}, servers: ["main", "other", "scoped"] },
        globex: { record: {}, servers: ["other"] },
      },
    },
    policies: POLICY,
  });
});
afterAll(async () => {
  await world.close();
  await Promise.all([spy.close(), issuer.close()]);
});

/** A token of the configured issuer. */
function signed(changes: Record<string, unknown> = {}): Promise<string> {
  const now = Math.floor(Date.now() / 1000);
  const usual = { iss: issuer.issuer, aud: world.url("main"), sub: "eve", tenant: "acme", scope: "mcp" };
  return issuer.sign({ ...usual, iat: now, exp: now + 300, auth_time: now, ...changes });
}

async function refused(server: string, token?: string, name = "echo") {
  const before = { seen: spy.seen.length, decisions: (await world.decisions()).length };
  const answer = await callTool(world.url(server), name, { text: "x" }, token === undefined ? {} : { token });
  expect(spy.seen.length).toBe(before.seen);
  const records = (await world.decisions()).slice(before.decisions);
  // A challenge for more scope is how a requirement that does not hold is told.
  const { code } = answer.body.error?.data ?? { code: "" };
  const codes = code === "insufficient_scope" ? [code, "requirement_not_met"] : [code];
  expect(records.map(({ effect }) => effect)).toEqual(["deny"]);
  expect(codes).toContain(records[0]?.code);
  return { ...answer, challenge: answer.headers.get("www-authenticate") ?? "" };
}

const parameter = (challenge: string, name: string) => new RegExp(`${name}="([^"]*)"`).exec(challenge)?.[1];

test("without a token: 401, and a challenge that leads to RFC 9728 metadata", async () => {
  const { status, challenge, body } = await refused("main");
  expect([status, body.error?.data.code]).toEqual([401, "token_missing"]);
  const metadata = parameter(challenge, "resource_metadata") ?? "";
  expect(metadata).toBe(`${world.origin}/.well-known/oauth-protected-resource/mcp/main`);
  const response = await fetch(metadata);
  expect(response.headers.get("content-type")).toContain("application/json");
  expect(await response.json()).toEqual({
    resource: world.url("main"),
    authorization_servers: [issuer.issuer, `${world.origin}/oauth`],
    bearer_methods_supported: ["header"],
    resource_name: "main",
  });
  const server = (await (
    await fetch(`${world.origin}/.well-known/oauth-authorization-server/oauth`)
  ).json()) as object;
  expect(server).toMatchObject({
    issuer: `${world.origin}/oauth`,
    code_challenge_methods_supported: ["S256"],
  });
});

test("a token of an issuer in its JWKS gets in as its claims say", async () => {
  const { body } = await callTool(
    world.url("main"),
    "echo",
    { text: "x" },
    { token: await signed({ roles: ["support"] }) },
  );
  expect(body.result).toBeDefined();
  expect((await world.decisions()).at(-1)?.principal).toMatchObject({
    issuer: issuer.issuer,
    subject: "eve",
    tenant: "acme",
    roles: ["support"],
    scopes: ["mcp"],
  });
});

test.each([
  ["a token for another virtual server", () => world.token("ann", "other"), "token_invalid"],
  ["an expired token", () => signed({ exp: Math.floor(Date.now() / 1000) - 120 }), "token_expired"],
  ["a token of a stranger", () => signed({ iss: "https://stranger.example" }), "token_invalid"],
  [
    "a token with another's signature",
    async () => `${(await signed()).slice(0, -8)}AAAAAAAA`,
    "token_invalid",
  ],
  [
    "an ID token",
    () =>
      issuer.sign(
        { iss: issuer.issuer, aud: world.url("main"), sub: "eve", tenant: "acme", exp: 2 ** 31 },
        { typ: "JWT" },
      ),
    "token_invalid",
  ],
])("%s: 401, challenged, recorded once, nothing upstream", async (_, make, code) => {
  const { status, challenge, body } = await refused("main", await make());
  expect([status, body.error?.data.code]).toEqual([401, code]);
  expect(parameter(challenge, "error")).toBe("invalid_token");
  expect(parameter(challenge, "resource_metadata")).toBeDefined();
});

test("a tenant that is not given the virtual server: 403", async () => {
  const { status, body } = await refused("main", await world.token("dee", "main"));
  expect([status, body.error?.data.code]).toEqual([403, "tenant_unknown"]);
  const unknown = await refused("main", await signed({ tenant: "nowhere" }));
  expect([unknown.status, unknown.body.error?.data.code]).toEqual([403, "tenant_unknown"]);
  expect(unknown.body.error?.message).toBe(body.error?.message);
});

test("scopes that a virtual server needs are told, and a token without them is refused", async () => {
  expect(parameter((await refused("scoped")).challenge, "scope")).toBe("mcp desk");
  const metadata = await fetch(`${world.origin}/.well-known/oauth-protected-resource/mcp/scoped`);
  expect(await metadata.json()).toMatchObject({ scopes_supported: ["mcp", "desk"] });
  const less = await refused("scoped", await signed({ aud: world.url("scoped") }));
  expect([less.status, less.body.error?.data.code]).toEqual([403, "insufficient_scope"]);
  expect(parameter(less.challenge, "error")).toBe("insufficient_scope");
  expect(parameter(less.challenge, "scope")).toBe("mcp desk");
  const enough = await signed({ aud: world.url("scoped"), scope: "desk mcp" });
  expect((await callTool(world.url("scoped"), "echo", {}, { token: enough })).body.result).toBeDefined();
  const own = await world.token("ann", "scoped");
  expect((await callTool(world.url("scoped"), "echo", {}, { token: own })).body.result).toBeDefined();
});

test("a requirement that a scope would meet: 403, with a challenge that names all scopes needed", async () => {
  const { status, challenge, body } = await refused("main", await signed(), "refund");
  expect([status, body.error?.data.code]).toEqual([403, "insufficient_scope"]);
  expect(parameter(challenge, "error")).toBe("insufficient_scope");
  expect(parameter(challenge, "scope")).toBe("mcp refund");
  expect(parameter(challenge, "resource_metadata")).toBeDefined();
  const stepped = await callTool(
    world.url("main"),
    "refund",
    {},
    { token: await signed({ scope: "mcp refund" }) },
  );
  expect(stepped.body.result).toBeDefined();
});

test("a requirement that does not hold tells its title and how to meet it", async () => {
  const stale = await signed({ auth_time: Math.floor(Date.now() / 1000) - 3600 });
  const { status, body } = await refused("main", stale, "close");
  expect(status).toBe(200);
  expect(body.error).toMatchObject({
    code: -32004,
    message: "This call needs a login in the last five minutes.",
    data: {
      code: "requirement_not_met",
      requirement: {
        name: "fresh_login",
        title: "a login in the last five minutes",
        step_up: { max_age: 300 },
      },
    },
  });
  const fresh = await callTool(world.url("main"), "close", {}, { token: await signed() });
  expect(fresh.body.result).toBeDefined();
});

const STOCK = {
  async v1(url: URL, application: Application) {
    const first = new StreamableHTTPClientTransport(url, { authProvider: application });
    await expect(new Client(INFO).connect(first as never)).rejects.toThrow(UnauthorizedError);
    await first.finishAuth(application.memory.callback?.searchParams.get("code") ?? "");
    const client = new Client(INFO);
    await client.connect(new StreamableHTTPClientTransport(url, { authProvider: application }) as never);
    return client;
  },
  async v2(url: URL, application: Application) {
    const client = () => new v2.Client(INFO, { versionNegotiation: { mode: "auto" } });
    const first = new v2.StreamableHTTPClientTransport(url, { authProvider: application });
    await expect(client().connect(first)).rejects.toThrow(v2.UnauthorizedError);
    await first.finishAuth(application.memory.callback?.searchParams ?? new URLSearchParams());
    const second = client();
    await second.connect(new v2.StreamableHTTPClientTransport(url, { authProvider: application }));
    return second;
  },
};

test.each([
  ["v1", "other"],
  ["v2", "other"],
  ["v1", "scoped"],
  ["v2", "scoped"],
] as const)(
  "a stock %s client that knows only the guarded URL logs in and calls a tool of %s",
  async (sdk, server) => {
    const embedded = await openWorld({
      config: {
        upstreams: { spy: { url: spy.url, era: "legacy" } },
        servers: { other: { upstreams: ["spy"] }, scoped: { upstreams: ["spy"], scopes: ["mcp", "desk"] } },
      },
      policies: POLICY,
    });
    const before = world;
    world = embedded;
    try {
      const client = await STOCK[sdk](new URL(embedded.url(server)), anApplication(world.origin, "ann"));
      const result = await client.callTool({ name: "echo", arguments: { text: "x" } });
      expect(result.content).toEqual([{ type: "text", text: "echo done" }]);
      await client.close();
      expect((await embedded.decisions()).at(-1)?.principal).toMatchObject({
        subject: "ann",
        tenant: "acme",
        issuer: `${embedded.origin}/oauth`,
        scopes: server === "scoped" ? ["desk", "mcp"] : ["mcp"],
      });
    } finally {
      world = before;
      await embedded.close();
    }
  },
);
