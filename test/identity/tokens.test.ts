import { createHmac } from "node:crypto";
import { CompactSign, type CryptoKey, exportJWK, exportSPKI, generateKeyPair, importJWK } from "jose";
import { expect, test } from "vitest";
import { principalOf } from "../../src/identity/principal.ts";
import { Secret } from "../../src/lib/secret.ts";
import { EPOCH, good, type Issuer } from "./issuer.ts";
import { anIssuer, aStage, optionsOf, refusalOf } from "./world.ts";

const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");

test("a good token is a whole, typed principal with its tenant's record", async () => {
  const issuer = await anIssuer();
  const { who } = aStage([optionsOf(issuer)]);
  const token = await issuer.sign(
    good(issuer, {
      roles: ["support", "admin", "support"],
      scope: "mcp tickets",
      client_id: "agent",
      auth_time: EPOCH - 60,
      acr: "2",
      amr: ["pwd", "otp"],
      act: { sub: "robot" },
    }),
  );
  const { principal, tenant, expires, digest } = await who(token);
  expect(principal).toEqual({
    kind: "user",
    issuer: issuer.issuer,
    subject: "ann",
    tenant: "acme",
    home_tenant: "acme",
    roles: ["admin", "support"],
    scopes: ["mcp", "tickets"],
    client: "agent",
    auth_time: EPOCH - 60,
    acr: "2",
    amr: ["otp", "pwd"],
    actor: "robot",
    run: null,
    attributes: {},
  });
  expect(tenant).toEqual({ id: "acme", refund_limit: 100 });
  expect(expires).toBe(EPOCH + 600);
  expect(digest).toMatch(/^[0-9a-f]{64}$/);
});

test("absent claims are empty values, and unmapped claims do not reach the principal", async () => {
  const issuer = await anIssuer();
  const { who } = aStage([optionsOf(issuer)]);
  const { principal } = await who(
    await issuer.sign(good(issuer, { groups: ["root"], kind: "service", home_tenant: "globex" })),
  );
  expect(principal).toMatchObject({
    kind: "user",
    home_tenant: "acme",
    roles: [],
    client: "",
    auth_time: 0,
    acr: "",
    amr: [],
    actor: "",
  });
  expect(JSON.stringify(principal)).not.toContain("root");
});

test("claims are mapped as the issuer's configuration says, nested ones too", async () => {
  const issuer = await anIssuer();
  const { who } = aStage([
    {
      ...optionsOf(issuer),
      tenant: { fixed: "globex" },
      claims: {
        roles: ["realm_access", "roles"],
        client: "azp",
        kind: "typ_of",
        home_tenant: "https://example.com/home",
        attributes: { team: "team", absent: "nowhere" },
      },
    },
  ]);
  const { principal } = await who(
    await issuer.sign(
      good(issuer, {
        realm_access: { roles: ["lead"] },
        azp: "portal",
        typ_of: "service",
        "https://example.com/home": "acme",
        team: "blue",
        scope: undefined,
        scp: ["mcp"],
      }),
    ),
  );
  expect(principal).toMatchObject({
    kind: "service",
    tenant: "globex",
    home_tenant: "acme",
    roles: ["lead"],
    scopes: ["mcp"],
    client: "portal",
    attributes: { team: "blue" },
  });
});

test("a subject that is its own client is a service", async () => {
  const issuer = await anIssuer();
  const { who } = aStage([optionsOf(issuer)]);
  const { principal } = await who(await issuer.sign(good(issuer, { sub: "batch", client_id: "batch" })));
  expect(principal.kind).toBe("service");
});

const REFUSED: [string, Record<string, unknown>, string][] = [
  ["expired beyond the tolerance", { exp: EPOCH - 31 }, "token_expired"],
  ["without exp", { exp: undefined }, "token_invalid"],
  ["not yet valid", { nbf: EPOCH + 31 }, "token_invalid"],
  ["issued in the future", { iat: EPOCH + 31 }, "token_invalid"],
  ["with a login in the future", { auth_time: EPOCH + 31 }, "token_invalid"],
  ["for another server", { aud: "https://gate.example/mcp/finance" }, "token_invalid"],
  ["for the origin", { aud: "https://gate.example" }, "token_invalid"],
  ["for a URL that only starts alike", { aud: "https://gate.example/mcp/support/" }, "token_invalid"],
  ["without an audience", { aud: undefined }, "token_invalid"],
  ["of an unknown issuer", { iss: "https://evil.example" }, "token_invalid"],
  ["without an issuer", { iss: undefined }, "token_invalid"],
  ["without a subject", { sub: undefined }, "token_invalid"],
  ["with an empty subject", { sub: "" }, "token_invalid"],
  ["without a tenant", { tenant: undefined }, "tenant_unknown"],
  ["of an unknown tenant", { tenant: "initech" }, "tenant_unknown"],
  ["of a tenant named like a property of objects", { tenant: "__proto__" }, "tenant_unknown"],
  ["without the scope", { scope: "tickets" }, "insufficient_scope"],
  ["without any scope", { scope: undefined }, "insufficient_scope"],
];

test.each(REFUSED)("a token %s is refused", async (_, changes, code) => {
  const issuer = await anIssuer();
  const { outcome } = aStage([optionsOf(issuer)]);
  expect(await outcome(await issuer.sign(good(issuer, changes)))).toBe(code);
});

test.each([
  { sub: 7 },
  { sub: ["ann"] },
  { sub: "an\u0000n" },
  { sub: "\ud800" },
  { sub: "a".repeat(513) },
  { tenant: ["acme"] },
  { tenant: { id: "acme" } },
  { tenant: "ac\nme" },
  { aud: ["https://gate.example/mcp/support", 5] },
  { aud: { "https://gate.example/mcp/support": true } },
  { exp: "1900000000" },
  { nbf: "0" },
  { iat: "0" },
  { iat: null },
  { roles: "support" },
  { roles: ["support", 1] },
  { roles: [""] },
  { roles: null },
  { roles: { support: true } },
  { scope: 1 },
  { scope: { mcp: true } },
  { client_id: 1 },
  { auth_time: "now" },
  { auth_time: -1 },
  { acr: 1 },
  { amr: "pwd" },
  { act: "robot" },
  { act: { sub: 1 } },
])("a claim of the wrong type is refused: %j", async (changes) => {
  const issuer = await anIssuer();
  const { outcome } = aStage([optionsOf(issuer)]);
  expect(await outcome(await issuer.sign(good(issuer, changes)))).toBe("token_invalid");
});

test("a nested claim whose way is no object is of the wrong type, not absent", async () => {
  const issuer = await anIssuer();
  const claims = { roles: ["realm", "roles"] };
  const { outcome, who } = aStage([{ ...optionsOf(issuer), claims }]);
  expect(await outcome(await issuer.sign(good(issuer, { realm: "support" })))).toBe("token_invalid");
  const none = await who(await issuer.sign(good(issuer)));
  expect(none.principal.roles).toEqual([]);
});

test("an exp that JSON reads as infinite is refused", async () => {
  const issuer = await anIssuer();
  const { outcome } = aStage([optionsOf(issuer)]);
  const claims = JSON.stringify(good(issuer)).replace(/"exp":\d+/, '"exp":1e999');
  const { privateKey, publicKey } = await generateKeyPair("ES256", { extractable: true });
  const jwk = await exportJWK(publicKey);
  issuer.answerWith((_, response) => response.end(JSON.stringify({ keys: [jwk] })));
  const token = await new CompactSign(Buffer.from(claims))
    .setProtectedHeader({ alg: "ES256", typ: "at+jwt" })
    .sign(privateKey);
  expect(await outcome(token)).toBe("token_invalid");
});

test("the tolerance is 30 seconds on either side", async () => {
  const issuer = await anIssuer();
  const { outcome } = aStage([optionsOf(issuer)]);
  expect(await outcome(await issuer.sign(good(issuer, { exp: EPOCH - 29 })))).toBe("in: ann");
  expect(await outcome(await issuer.sign(good(issuer, { nbf: EPOCH + 29, iat: EPOCH + 29 })))).toBe(
    "in: ann",
  );
});

test("one of several audiences is enough", async () => {
  const issuer = await anIssuer();
  const { outcome } = aStage([optionsOf(issuer)]);
  expect(
    await outcome(
      await issuer.sign(good(issuer, { aud: ["https://other.example", "https://gate.example/mcp/support"] })),
    ),
  ).toBe("in: ann");
});

test.each(["JWT", "", "id+jwt", "at+jwt2"])(
  "typ %j is refused: an ID token is no access token",
  async (typ) => {
    const issuer = await anIssuer();
    const { outcome } = aStage([optionsOf(issuer)]);
    expect(await outcome(await issuer.sign(good(issuer), { typ }))).toBe("token_invalid");
  },
);

test("a token that does not say what it is is refused", async () => {
  const issuer = await anIssuer();
  const { outcome } = aStage([optionsOf(issuer)]);
  expect(await outcome(await issuer.sign(good(issuer), { header: { typ: undefined } }))).toBe(
    "token_invalid",
  );
});

test("typ compares as a media type, and may be configured", async () => {
  const issuer = await anIssuer();
  expect(
    await aStage([optionsOf(issuer)]).outcome(await issuer.sign(good(issuer), { typ: "application/AT+JWT" })),
  ).toBe("in: ann");
  const { outcome } = aStage([{ ...optionsOf(issuer), token_types: ["JWT"] }]);
  expect(await outcome(await issuer.sign(good(issuer), { typ: "JWT" }))).toBe("in: ann");
  expect(await outcome(await issuer.sign(good(issuer), { typ: "at+jwt" }))).toBe("token_invalid");
});

test.each(["none", "None", "NONE", ""])("alg %j is refused", async (alg) => {
  const issuer = await anIssuer();
  const { outcome } = aStage([optionsOf(issuer)]);
  const body = `${encode({ alg, typ: "at+jwt", kid: "one" })}.${encode(good(issuer))}`;
  expect(await outcome(`${body}.`)).toBe("token_invalid");
  expect(await outcome(`${body}.AAAA`)).toBe("token_invalid");
});

test("HS256 with the issuer's RSA public key as the secret is refused", async () => {
  const issuer = await anIssuer();
  await issuer.addKey("rsa", "RS256");
  issuer.publish("rsa");
  const { outcome } = aStage([{ ...optionsOf(issuer), algorithms: ["RS256"] }]);
  expect(await outcome(await issuer.sign(good(issuer), { kid: "rsa" }))).toBe("in: ann");
  const jwk = issuer.publicJwk("rsa");
  const pem = await exportSPKI((await importJWK(jwk ?? {}, "RS256", { extractable: true })) as CryptoKey);
  const body = `${encode({ alg: "HS256", typ: "at+jwt", kid: "rsa" })}.${encode(good(issuer))}`;
  for (const secret of [pem, JSON.stringify(jwk)]) {
    expect(await outcome(`${body}.${createHmac("sha256", secret).update(body).digest("base64url")}`)).toBe(
      "token_invalid",
    );
  }
});

test("an algorithm outside the issuer's list is refused, though the key is published", async () => {
  const issuer = await anIssuer();
  await issuer.addKey("rsa", "RS256");
  issuer.publish("one", "rsa");
  const { outcome } = aStage([optionsOf(issuer)]);
  expect(await outcome(await issuer.sign(good(issuer), { kid: "rsa" }))).toBe("token_invalid");
});

test("a symmetric or unknown algorithm cannot be configured", async () => {
  const issuer = await anIssuer();
  for (const algorithm of ["HS256", "none", "ES256K"]) {
    expect(() => aStage([{ ...optionsOf(issuer), algorithms: [algorithm as "ES256"] }])).toThrow(
      /algorithms/,
    );
  }
  expect(() => aStage([{ ...optionsOf(issuer), algorithms: [] }])).toThrow(/algorithms/);
});

test("a key that the token brings along is never used nor fetched", async () => {
  const issuer = await anIssuer();
  const evil = await anIssuer();
  const { outcome } = aStage([optionsOf(issuer)]);
  const jwk = evil.publicJwk("one");
  for (const header of [{ jku: evil.jwks_uri }, { x5u: evil.jwks_uri }, { jwk }, {}]) {
    expect(await outcome(await evil.sign(good(issuer), { header }))).toBe("token_invalid");
  }
  for (const header of [
    { jku: issuer.jwks_uri },
    { x5u: issuer.jwks_uri },
    { jwk: issuer.publicJwk("one") },
    { x5c: ["MII="] },
  ]) {
    expect(await outcome(await issuer.sign(good(issuer), { header }))).toBe("token_invalid");
  }
  expect(evil.fetches).toBe(0);
});

test("a critical header is refused", async () => {
  const issuer = await anIssuer();
  const { outcome } = aStage([optionsOf(issuer)]);
  const [, payload, signature] = (await issuer.sign(good(issuer))).split(".");
  for (const header of [
    { crit: ["exp"], exp: 1 },
    { crit: ["b64"], b64: false },
    { crit: ["b64"], b64: true },
  ]) {
    const head = encode({ alg: "ES256", kid: "one", typ: "at+jwt", ...header });
    expect(await outcome(`${head}.${payload}.${signature}`)).toBe("token_invalid");
  }
});

test("a token changed anywhere is refused", async () => {
  const issuer = await anIssuer();
  const { outcome } = aStage([optionsOf(issuer)]);
  const [header = "", , signature = ""] = (await issuer.sign(good(issuer))).split(".");
  expect(await outcome(`${header}.${encode(good(issuer, { roles: ["admin"] }))}.${signature}`)).toBe(
    "token_invalid",
  );
  expect(await outcome(`${header}.${encode(good(issuer))}.${"A".repeat(86)}`)).toBe("token_invalid");
});

test.each(["", "x", "a.b", "a.b.c.d", "a.b.c", "..", "ä.b.c", "a b.c.d", `${"a".repeat(9_000)}.b.c`])(
  "garbage is refused without asking the issuer: %.20j",
  async (token) => {
    const issuer = await anIssuer();
    const { outcome } = aStage([optionsOf(issuer)]);
    expect(await outcome(token)).toBe("token_invalid");
    expect(issuer.fetches).toBe(0);
  },
);

test("no token and a bad token are challenged as RFC 6750 and RFC 9728 say", async () => {
  const issuer = await anIssuer();
  const { stage } = aStage([optionsOf(issuer)], { scopes: () => ["mcp", "tickets"] });
  const metadata =
    'resource_metadata="https://gate.example/.well-known/oauth-protected-resource/mcp/support"';

  const missing = await refusalOf(stage.authenticate(undefined, "support"));
  expect([missing.code, missing.row.http]).toEqual(["token_missing", 401]);
  expect(missing.headers["WWW-Authenticate"]).toBe(`Bearer scope="mcp tickets", ${metadata}`);

  const expired = await refusalOf(
    stage.authenticate(new Secret(await issuer.sign(good(issuer, { exp: 1 }))), "support"),
  );
  expect([expired.code, expired.row.http]).toEqual(["token_expired", 401]);
  expect(expired.headers["WWW-Authenticate"]).toBe(
    `Bearer error="invalid_token", error_description="The bearer token has expired.", scope="mcp tickets", ${metadata}`,
  );

  const narrow = await refusalOf(stage.authenticate(new Secret(await issuer.sign(good(issuer))), "support"));
  expect([narrow.code, narrow.row.http]).toEqual(["insufficient_scope", 403]);
  expect(narrow.headers["WWW-Authenticate"]).toBe(
    `Bearer error="insufficient_scope", error_description="The token lacks a scope that is needed here.", scope="mcp tickets", ${metadata}`,
  );
});

test("a refusal names neither the token nor a claim's value", async () => {
  const issuer: Issuer = await anIssuer();
  const { stage } = aStage([optionsOf(issuer)]);
  const token = await issuer.sign(good(issuer, { roles: "hush-hush" }));
  const { headers, message, text, reason } = await refusalOf(
    stage.authenticate(new Secret(token), "support"),
  );
  const told = JSON.stringify({ headers, message, text, reason });
  expect(told).not.toContain("hush-hush");
  expect(told).not.toContain(token.slice(0, 30));
});

test("a claim that its issuer's configuration does not name reaches no principal", () => {
  const payload = {
    sub: "ann",
    tenant: "acme",
    roles: ["admin"],
    attributes: { a: 1 },
    kind: "service",
    home: "globex",
  };
  const mapping = { issuer: "https://idp.example", tenant: { claim: "tenant" }, claims: {} };
  expect(principalOf(payload, mapping)).toMatchObject({
    kind: "user",
    roles: [],
    attributes: {},
    home_tenant: "acme",
  });
});
