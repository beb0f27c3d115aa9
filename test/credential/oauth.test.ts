import { inspect } from "node:util";
import { decodeJwt, type JSONWebKeySet } from "jose";
import { expect, test } from "vitest";
import type { CredentialsOptions, SourceConfig } from "../../src/credential/credentials.ts";
import type { Principal } from "../../src/domain.ts";
import { systemClock } from "../../src/lib/clock.ts";
import { Secret } from "../../src/lib/secret.ts";
import { anIdp, CLIENT_KEY, type Idp, SECRET } from "./oauth-provider.ts";
import { ann, aStage, decision, EPOCH, principalOf, tokenOf } from "./support.ts";

const client = { client_id: "gateway", client_secret: new Secret(SECRET) };
const asked = { scopes: ["crm:read"], roles: { refunder: ["crm:refund"] }, ttl: 120, upstreams: ["crm"] };
const given = { roles: ["refunder"], max_ttl: 300 };

/** The stage with `exchange` and `service` at one provider. */
async function aWorld(changes: Partial<CredentialsOptions> = {}, source: object = {}) {
  const idp = await anIdp();
  const sources: Record<string, SourceConfig> = {
    exchange: {
      ...client,
      ...asked,
      issuer: idp.issuer,
      type: "token-exchange",
      audience: "https://crm",
      ...source,
    },
    service: {
      ...client,
      ...asked,
      issuer: idp.issuer,
      type: "client-credentials",
      resource: "https://crm",
      ...source,
    },
  };
  const tenants = () => ({ exchange: given, service: given });
  const stage = await aStage({ sources, tenants, ...changes });
  idp.trust = () => stage.credentials.jwks() as unknown as JSONWebKeySet;
  const obtain = (name: string, principal: Principal = ann, role?: string) =>
    stage.credentials.obtain({ source: name, ...(role !== undefined && { role }) }, principal, decision);
  return { idp, ...stage, obtain };
}

test("a user's call gets a token that the provider issued for this user and audience, against the gateway's assertion", async () => {
  const { idp, obtain } = await aWorld();
  const lease = await obtain("exchange");
  expect(await idp.claims(tokenOf(lease))).toMatchObject({
    sub: "acme/ann",
    aud: "https://crm",
    scope: "crm:read",
  });
  expect(lease.expires).toBe((EPOCH + 120) * 1000);
  const [body] = idp.asked;
  expect(body?.get("subject_token_type")).toBe("urn:ietf:params:oauth:token-type:jwt");
  expect(decodeJwt(body?.get("subject_token") ?? "")).toEqual({
    iss: "https://gate.example",
    aud: idp.issuer,
    sub: "ann",
    subject_issuer: "https://idp.example",
    tenant: "acme",
    iat: EPOCH,
    exp: EPOCH + 60,
    jti: expect.stringMatching(/^[\w-]{22}$/),
  });
});

test("a grant's role adds its scopes, and nothing else of the request decides what is asked for", async () => {
  const { idp, obtain } = await aWorld();
  const principal = principalOf({
    scopes: ["crm:admin"],
    roles: ["root"],
    attributes: { audience: "https://evil" },
  });
  expect(await idp.claims(tokenOf(await obtain("exchange", principal, "refunder")))).toMatchObject({
    scope: "crm:read crm:refund",
    aud: "https://crm",
  });
  await expect(obtain("exchange", ann, "root")).rejects.toMatchObject({ code: "credential_refused" });
  expect(idp.asked).toHaveLength(1);
});

test.each([
  ["a secret", {}],
  [
    "a private key",
    {
      client_id: "gateway-by-key",
      client_secret: undefined,
      private_key: new Secret(CLIENT_KEY),
      key_id: "k1",
    },
  ],
])("the service's own token is had with %s", async (_, source) => {
  const { idp, obtain } = await aWorld({}, source);
  const lease = await obtain("service");
  expect(await idp.claims(tokenOf(lease))).toMatchObject({ aud: "https://crm", scope: "crm:read" });
  expect(idp.asked[0]?.has("subject_token")).toBe(false);
});

test("the provider is discovered once, and a token is shared for the life of its lease", async () => {
  const { idp, obtain } = await aWorld();
  const leases = await Promise.all(Array.from({ length: 20 }, () => obtain("exchange")));
  await obtain("exchange", principalOf({ subject: "bob" }));
  expect(new Set(leases.map(tokenOf)).size).toBe(1);
  expect(idp.asked).toHaveLength(2);
  expect(idp.discoveries).toBe(1);
});

test("two tenants' users of one name get tokens of their own", async () => {
  const { idp, obtain } = await aWorld();
  const leases = [await obtain("exchange"), await obtain("exchange", principalOf({ tenant: "globex" }))];
  const claims = await Promise.all(leases.map((lease) => idp.claims(tokenOf(lease))));
  expect(claims.map(({ sub }) => sub)).toEqual(["acme/ann", "globex/ann"]);
});

test("a lease ends with its run, and a run that has ended gets none", async () => {
  const { obtain } = await aWorld();
  const lease = await obtain("exchange", principalOf({ run: { id: "r", expires: EPOCH + 30 } }));
  expect(lease.expires).toBe((EPOCH + 30) * 1000);
  const over = principalOf({ run: { id: "r", expires: EPOCH } });
  await expect(obtain("exchange", over)).rejects.toMatchObject({ code: "credential_refused" });
});

test("a token serves no longer than its provider says", async () => {
  const tenants = () => ({ exchange: { ...given, max_ttl: 600 } });
  const { obtain } = await aWorld({ tenants }, { ttl: 600 });
  expect((await obtain("exchange")).expires).toBe((EPOCH + 300) * 1000);
});

test("a role that is named like what every object inherits adds no scope", async () => {
  const tenants = () => ({ exchange: { ...given, roles: ["constructor"] } });
  const { idp, obtain } = await aWorld({ tenants });
  const lease = await obtain("exchange", ann, "constructor");
  expect(await idp.claims(tokenOf(lease))).toMatchObject({ scope: "crm:read" });
});

/** A token of no resource is opaque: the provider keeps it, and can revoke it. */
const OPAQUE = { resource: undefined };

test("a revoked lease's token is revoked at the provider", async () => {
  const { idp, obtain } = await aWorld({}, OPAQUE);
  const lease = await obtain("service");
  expect(await idp.knows(tokenOf(lease))).toBe(true);
  await lease.revoke();
  expect(await idp.knows(tokenOf(lease))).toBe(false);
});

/** The stage on the real clock, with what is recorded of its leases. */
async function aTimedWorld(source: object = OPAQUE) {
  const entries: string[] = [];
  const world = await aWorld(
    { clock: systemClock, onLease: ({ event, reason }) => void entries.push(`${event} ${reason}`.trim()) },
    source,
  );
  const brief = (run: Principal["run"] = null) =>
    world.credentials.obtain({ source: "service", ttl: 1 }, principalOf({ run }), decision);
  return { ...world, entries, brief };
}

test("a token that would outlive its lease is revoked at the provider when the lease ends by itself, and so recorded", async () => {
  const { idp, brief, entries, credentials } = await aTimedWorld();
  const lease = await brief();
  expect(await idp.knows(tokenOf(lease))).toBe(true);
  await expect.poll(() => entries).toEqual(["minted", "revoked expired"]);
  expect(await idp.knows(tokenOf(lease))).toBe(false);
  const ofRun = await brief({ id: "r", expires: Math.ceil(Date.now() / 1000) + 60 });
  await credentials.revokeWhere(({ run }) => run === "r", "the run was ended");
  expect(entries.slice(2)).toEqual(["minted", "revoked the run was ended"]);
  expect(await idp.knows(tokenOf(ofRun))).toBe(false);
});

test.each([
  ["fails", 503, "idp_unavailable"],
  ["refuses", 400, "idp_refused"],
])("a provider that %s to revoke is asked again until the token is gone", async (_, status, code) => {
  const { idp, brief, entries } = await aTimedWorld();
  await brief();
  idp.fault = (_request, response) => {
    response.writeHead(status, { "content-type": "application/json" }).end('{"error":"invalid_request"}');
    idp.fault = null;
  };
  await expect.poll(() => entries).toEqual(["minted", `revocation_failed ${code}`, "revoked expired"]);
  expect(idp.revocations).toBe(2);
});

test.each([
  ["its tokens are JWTs", () => ({})],
  ["it has no endpoint for that", ({ issuer }: Idp) => ({ ...OPAQUE, token_endpoint: `${issuer}/token` })],
])(
  "where the provider cannot revoke (%s), the lease is dropped and not said to be revoked",
  async (_, how) => {
    const idp = await anIdp();
    const { brief, entries, credentials } = await aTimedWorld({ issuer: idp.issuer, ...how(idp) });
    await brief();
    await credentials.revokeWhere(() => true, "the run was ended");
    expect(entries).toEqual(["minted", "dropped the run was ended"]);
  },
);

/** Everything that an error could show. */
function shown(error: unknown): string {
  return inspect(error, { depth: 12, showHidden: true }) + JSON.stringify(error) + (error as Error).stack;
}

test("a provider that refuses is named with its code, and neither token nor secret shows", async () => {
  const { idp, obtain } = await aWorld();
  idp.trust = () => ({ keys: [] });
  const error: unknown = await obtain("exchange").catch((thrown) => thrown);
  expect(error).toMatchObject({
    code: "idp_refused",
    reason: `${idp.issuer} refused: invalid_request`,
    text: "The identity provider refused the credential for this call.",
  });
  expect(shown(error)).not.toContain(idp.asked[0]?.get("subject_token"));
  expect(shown(error)).not.toContain(SECRET);
});

test("a wrong secret is refused, and does not show", async () => {
  const { obtain } = await aWorld({}, { client_secret: new Secret("wrong-hunter2") });
  const error: unknown = await obtain("service").catch((thrown) => thrown);
  expect(error).toMatchObject({ code: "idp_refused", reason: expect.stringContaining("invalid_client") });
  expect(shown(error)).not.toContain("hunter2");
});

const faults: [string, string, NonNullable<Idp["fault"]>][] = [
  ["answers 500", "idp_unavailable", (_, response) => response.writeHead(500).end("hunter2")],
  ["answers 429", "idp_unavailable", (_, response) => response.writeHead(429).end()],
  ["resets the connection", "idp_unavailable", (request) => request.socket.destroy()],
  [
    "answers with HTML",
    "idp_unavailable",
    (_, response) => response.setHeader("content-type", "text/html").end("<p>hunter2"),
  ],
  [
    "redirects elsewhere",
    "idp_unavailable",
    (_, response) => response.writeHead(307, { location: "http://127.0.0.1:1/" }).end(),
  ],
  [
    "answers without end",
    "idp_unavailable",
    (_, response) => {
      response.setHeader("content-type", "application/json");
      response.write("[");
      const chunk = "1,".repeat(64 << 10);
      const more = () => {
        while (!response.destroyed && response.write(chunk));
      };
      response.on("drain", more);
      more();
    },
  ],
  [
    "reflects a token as its error code",
    "idp_refused",
    (_, response) =>
      response.writeHead(400, { "content-type": "application/json" }).end('{"error":"eyJ.hunter2"}'),
  ],
  [
    "issues a token that is not a bearer's",
    "idp_refused",
    (_, response) =>
      response
        .writeHead(200, { "content-type": "application/json" })
        .end('{"access_token":"hunter2","token_type":"DPoP"}'),
  ],
];
test.each(faults)("a provider that %s: %s, and nothing it said shows", async (_, code, fault) => {
  const { idp, obtain } = await aWorld();
  await obtain("service");
  idp.fault = fault;
  const error: unknown = await obtain("service", principalOf({ subject: "bob" })).catch((thrown) => thrown);
  expect(error).toMatchObject({ code });
  expect(shown(error)).not.toMatch(/hunter2|identity-provider-client-secret/);
});

test("a provider that hangs is given up on at its deadline", async () => {
  const { idp, obtain } = await aWorld({
    fetch: (url, init) =>
      fetch(url, {
        ...init,
        signal: AbortSignal.any([AbortSignal.timeout(200), ...(init?.signal ? [init.signal] : [])]),
      }),
  });
  await obtain("service");
  idp.fault = () => {};
  await expect(obtain("service", principalOf({ subject: "bob" }))).rejects.toMatchObject({
    code: "idp_unavailable",
  });
});

test("metadata of another issuer, or endpoints over plain http elsewhere, are not used", async () => {
  const { idp, obtain } = await aWorld();
  let metadata: Record<string, unknown> = {
    issuer: "https://evil.example",
    token_endpoint: `${idp.issuer}/token`,
  };
  const asked: string[] = [];
  idp.fault = (request, response) => {
    asked.push(request.url ?? "");
    response.setHeader("content-type", "application/json").end(JSON.stringify(metadata));
  };
  await expect(obtain("service")).rejects.toMatchObject({ code: "idp_unavailable" });
  metadata = { issuer: idp.issuer, token_endpoint: "http://evil.example/token" };
  await expect.poll(() => obtain("service").catch(({ reason }) => reason)).not.toContain("discovered");
  expect(asked.every((path) => path.startsWith("/.well-known/"))).toBe(true);
});

test("a lease shows its token in no way of printing it", async () => {
  const { obtain, credentials } = await aWorld();
  const lease = await obtain("exchange");
  const seen = inspect([lease, credentials], { depth: 12, showHidden: true }) + JSON.stringify(lease);
  expect(seen).not.toContain(tokenOf(lease));
});
