import { generateKeyPairSync } from "node:crypto";
import { inspect } from "node:util";
import { createLocalJWKSet, decodeJwt, decodeProtectedHeader, type JSONWebKeySet, jwtVerify } from "jose";
import { expect, test } from "vitest";
import { sha256 } from "../../src/lib/json.ts";
import { Secret } from "../../src/lib/secret.ts";
import { ann, aStage, decision, dee, EPOCH, PUBLIC_URL, principalOf, tokenOf } from "./support.ts";

const crm = { source: "crm", role: "reader" };

test("an assertion verifies against the published JWKS, for its audience alone, until it expires", async () => {
  const { credentials, clock } = await aStage();
  const lease = await credentials.obtain(crm, ann, decision);
  const keys = createLocalJWKSet(credentials.jwks() as unknown as JSONWebKeySet);
  const expected = {
    issuer: PUBLIC_URL,
    audience: "https://crm",
    typ: "portcullis+jwt",
    currentDate: new Date(clock()),
  };
  const { payload } = await jwtVerify(tokenOf(lease), keys, expected);
  expect(payload).toEqual({
    iss: PUBLIC_URL,
    aud: "https://crm",
    sub: "ann",
    subject_issuer: "https://idp.example",
    tenant: "acme",
    role: "reader",
    iat: EPOCH,
    exp: EPOCH + 60,
    jti: expect.stringMatching(/^[\w-]{22}$/),
  });
  expect(lease.expires).toBe((EPOCH + 60) * 1000);
  expect(lease.sha256).toBe(sha256(tokenOf(lease)));
  await expect(
    jwtVerify(tokenOf(lease), keys, { ...expected, audience: "https://billing" }),
  ).rejects.toThrow();
  const late = new Date(lease.expires);
  await expect(jwtVerify(tokenOf(lease), keys, { ...expected, currentDate: late })).rejects.toThrow();
});

test("an assertion cannot be taken for an access token", async () => {
  const { credentials } = await aStage();
  const token = tokenOf(await credentials.obtain(crm, ann, decision));
  expect(decodeProtectedHeader(token)).toMatchObject({ typ: "portcullis+jwt", alg: "ES256" });
});

test("the published keys hold nothing private", async () => {
  const { credentials } = await aStage();
  const { keys } = credentials.jwks() as unknown as JSONWebKeySet;
  expect(keys).toHaveLength(1);
  expect(Object.keys(keys[0] ?? {}).sort()).toEqual(["alg", "crv", "kid", "kty", "use", "x", "y"]);
});

test.each([
  ["ES256", generateKeyPairSync("ec", { namedCurve: "P-256" })],
  ["EdDSA", generateKeyPairSync("ed25519")],
])(
  "a configured %s key signs, and two gateways that share it publish the same key",
  async (alg, { privateKey }) => {
    const signingKey = new Secret(privateKey.export({ type: "pkcs8", format: "pem" }).toString());
    const [one, two] = [await aStage({ signingKey }), await aStage({ signingKey })];
    expect(one.credentials.jwks()).toEqual(two.credentials.jwks());
    const token = tokenOf(await one.credentials.obtain(crm, ann, decision));
    const keys = createLocalJWKSet(two.credentials.jwks() as unknown as JSONWebKeySet);
    const { protectedHeader } = await jwtVerify(token, keys, { currentDate: new Date(one.clock()) });
    expect(protectedHeader.alg).toBe(alg);
  },
);

test("a signing key that is unreadable or of another kind refuses start without showing it", async () => {
  const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey;
  for (const pem of [
    "-----BEGIN PRIVATE KEY-----\nhunter2\n",
    rsa.export({ type: "pkcs8", format: "pem" }).toString(),
  ]) {
    const error: unknown = await aStage({ signingKey: new Secret(pem) }).catch((thrown) => thrown);
    expect(error).toMatchObject({ code: "credential_unavailable" });
    expect(inspect(error, { depth: 9, showHidden: true })).not.toContain(pem.split("\n")[1]);
  }
});

test("no choice: no credential", async () => {
  const { credentials } = await aStage();
  const lease = await credentials.obtain(null, ann, decision);
  expect(lease).toMatchObject({ sha256: null, headers: new Map() });
  await lease.revoke();
});

test("the source none sends nothing, and is given like any other", async () => {
  const { credentials } = await aStage();
  const lease = await credentials.obtain({ source: "open" }, ann, decision);
  expect(lease.headers.size).toBe(0);
  await expect(credentials.obtain({ source: "open" }, dee, decision)).rejects.toMatchObject({
    code: "credential_refused",
  });
});

test("a source, upstream, tenant or role that configuration does not give is refused, and the caller is not told why", async () => {
  const { credentials } = await aStage();
  const cases = [
    [{ source: "vault" }, ann, decision, 'there is no credential source "vault"'],
    [{ source: "constructor" }, ann, decision, 'there is no credential source "constructor"'],
    [crm, ann, { ...decision, upstream: "files" }, 'upstream "files" may not receive "crm"'],
    [crm, principalOf({ tenant: "initech" }), decision, 'tenant "initech" is not given "crm"'],
    [crm, principalOf({ tenant: "__proto__" }), decision, 'tenant "__proto__" is not given "crm"'],
    [
      { source: "crm", role: "refunder" },
      dee,
      decision,
      'tenant "globex" may not have role "refunder" of "crm"',
    ],
    [{ source: "crm", role: "Reader" }, ann, decision, 'tenant "acme" may not have role "Reader" of "crm"'],
    [{ source: "open", role: "reader" }, ann, decision, 'tenant "acme" may not have role "reader" of "open"'],
    [{ ...crm, ttl: 0 }, ann, decision, 'no time to live is left for "crm"'],
    [{ ...crm, ttl: Number.NaN }, ann, decision, 'no time to live is left for "crm"'],
  ] as const;
  for (const [choice, principal, where, reason] of cases) {
    await expect(credentials.obtain(choice, principal, where)).rejects.toMatchObject({
      code: "credential_refused",
      reason,
      text: "The credential for this call is not permitted.",
    });
  }
});

test.each([
  ["the source's own where the grant names none", ann, undefined, 60],
  ["the grant's where it is shorter", ann, 15, 15],
  ["the source's where the grant asks for more", ann, 3600, 60],
  ["the tenant's where that is shortest", dee, 30, 20],
  ["the run's where it ends sooner", principalOf({ run: { id: "r1", expires: EPOCH + 8 } }), 30, 8],
])("the life of a lease is %s", async (_, principal, ttl, lives) => {
  const { credentials } = await aStage();
  const lease = await credentials.obtain(
    { ...crm, ...(ttl === undefined ? {} : { ttl }) },
    principal,
    decision,
  );
  expect(lease.expires).toBe((EPOCH + lives) * 1000);
});

test("a run that has ended gets nothing", async () => {
  const { credentials } = await aStage();
  const over = principalOf({ run: { id: "r1", expires: EPOCH } });
  await expect(credentials.obtain(crm, over, decision)).rejects.toMatchObject({ code: "credential_refused" });
});

test("calls share a lease for its life: whatever the decision, nothing is signed twice", async () => {
  const { credentials, clock } = await aStage();
  const first = await credentials.obtain(crm, ann, decision);
  clock.advance(50);
  expect(await credentials.obtain(crm, principalOf(), { ...decision, decisionId: "d2" })).toBe(first);
});

test("a lease that is about to expire is not handed out", async () => {
  const { credentials, clock } = await aStage();
  const first = await credentials.obtain(crm, ann, decision);
  clock.advance(55);
  const second = await credentials.obtain(crm, ann, decision);
  expect(second.expires).toBe(first.expires + 55_000);
});

test("a lease is never another tenant's, user's, issuer's, run's, role's, upstream's, ttl's or revision's", async () => {
  const { credentials } = await aStage();
  const leases = await Promise.all([
    credentials.obtain(crm, ann, decision),
    credentials.obtain(crm, principalOf({ tenant: "globex" }), decision),
    credentials.obtain(crm, principalOf({ subject: "bob" }), decision),
    credentials.obtain(crm, principalOf({ issuer: "https://other.example" }), decision),
    credentials.obtain(crm, principalOf({ run: { id: "r1", expires: EPOCH + 600 } }), decision),
    credentials.obtain(crm, principalOf({ run: { id: "r2", expires: EPOCH + 600 } }), decision),
    credentials.obtain({ ...crm, role: "refunder" }, ann, decision),
    credentials.obtain({ source: "crm" }, ann, decision),
    credentials.obtain(crm, ann, { ...decision, upstream: "billing" }),
    credentials.obtain({ ...crm, ttl: 30 }, ann, decision),
    credentials.obtain(crm, ann, { ...decision, revision: { platform: "p2", tenant: "" } }),
    credentials.obtain(crm, ann, { ...decision, revision: { platform: "p1", tenant: "t" } }),
    // Parts that would read the same if they were only strung together.
    credentials.obtain(crm, principalOf({ issuer: 'https://idp.example","a', subject: "nn" }), decision),
  ]);
  expect(new Set(leases.map(tokenOf)).size).toBe(leases.length);
  const { tenant, sub } = decodeJwt(tokenOf(leases[1] ?? { headers: new Map() }));
  expect({ tenant, sub }).toEqual({ tenant: "globex", sub: "ann" });
});

test("many calls at once cause one signature", async () => {
  const { credentials } = await aStage();
  const leases = await Promise.all(Array.from({ length: 50 }, () => credentials.obtain(crm, ann, decision)));
  expect(new Set(leases).size).toBe(1);
});

test("a revoked lease is not handed out again", async () => {
  const { credentials } = await aStage();
  const first = await credentials.obtain(crm, ann, decision);
  await first.revoke();
  expect(tokenOf(await credentials.obtain(crm, ann, decision))).not.toBe(tokenOf(first));
});

test("nothing is minted after close", async () => {
  const { credentials } = await aStage();
  await credentials.close();
  await expect(credentials.obtain(crm, ann, decision)).rejects.toMatchObject({ code: "shutting_down" });
});

test("a lease shows its token in no way of printing it", async () => {
  const { credentials } = await aStage();
  const lease = await credentials.obtain(crm, ann, decision);
  const header = lease.headers.get("authorization");
  const seen = [
    inspect(lease, { depth: 9, showHidden: true }),
    inspect(credentials, { depth: 9, showHidden: true }),
    JSON.stringify(lease),
    JSON.stringify([...lease.headers]),
    String(header),
    `${header}`,
    inspect(new Error("failed", { cause: lease }), { depth: 9 }),
  ].join("\n");
  expect(seen).toContain("[secret]");
  expect(seen).not.toContain(tokenOf(lease));
});
