import { expect, test } from "vitest";
import { EPOCH, good } from "./issuer.ts";
import { anIssuer, aStage, optionsOf } from "./world.ts";

test("keys are fetched on first use, once for all who come together", async () => {
  const issuer = await anIssuer();
  const { outcome } = aStage([optionsOf(issuer)]);
  expect(issuer.fetches).toBe(0);
  const tokens = await Promise.all(["ann", "bob", "cho"].map((sub) => issuer.sign(good(issuer, { sub }))));
  expect(await Promise.all(tokens.map((token) => outcome(token)))).toEqual(["in: ann", "in: bob", "in: cho"]);
  expect(issuer.fetches).toBe(1);
});

test("a rotated key works at once, though the old keys are fresh", async () => {
  const issuer = await anIssuer();
  const { clock, outcome } = aStage([optionsOf(issuer)]);
  await outcome(await issuer.sign(good(issuer)));
  await issuer.addKey("two");
  issuer.publish("one", "two");
  clock.advance(31);
  expect(await outcome(await issuer.sign(good(issuer), { kid: "two" }))).toBe("in: ann");
  expect(issuer.fetches).toBe(2);
});

test("a flood of unknown keys costs one fetch in 30 seconds", async () => {
  const issuer = await anIssuer();
  const { clock, outcome } = aStage([optionsOf(issuer)]);
  await outcome(await issuer.sign(good(issuer)));
  const flood = async () => {
    const tokens = await Promise.all(
      Array.from({ length: 20 }, (_, n) => issuer.sign(good(issuer), { header: { kid: `made-up-${n}` } })),
    );
    return new Set(await Promise.all(tokens.map((token) => outcome(token))));
  };
  expect(await flood()).toEqual(new Set(["token_invalid"]));
  expect(issuer.fetches).toBe(1);
  clock.advance(30);
  await flood();
  await flood();
  expect(issuer.fetches).toBe(2);
  clock.advance(29);
  await flood();
  expect(issuer.fetches).toBe(2);
});

test("an issuer that fails is asked once in 30 seconds, and the answer is 503", async () => {
  const issuer = await anIssuer();
  const { clock, outcome } = aStage([optionsOf(issuer)]);
  issuer.answerWith((_, response) => response.writeHead(500).end());
  const token = await issuer.sign(good(issuer));
  for (let n = 0; n < 5; n++) expect(await outcome(token)).toBe("identity_unavailable");
  expect(issuer.fetches).toBe(1);
  issuer.answerWith(undefined);
  clock.advance(29);
  expect(await outcome(token)).toBe("identity_unavailable");
  clock.advance(1);
  expect(await outcome(token)).toBe("in: ann");
  expect(issuer.fetches).toBe(2);
});

test("through an outage the old keys serve for an hour and no longer", async () => {
  const issuer = await anIssuer();
  const { clock, outcome } = aStage([optionsOf(issuer)]);
  const token = await issuer.sign(good(issuer, { exp: 1_900_000_000 }));
  expect(await outcome(token)).toBe("in: ann");
  issuer.answerWith((request) => request.socket.destroy());
  clock.advance(3_599);
  expect(await outcome(token)).toBe("in: ann");
  clock.advance(61);
  expect(await outcome(token)).toBe("identity_unavailable");
  issuer.answerWith(undefined);
  clock.advance(30);
  expect(await outcome(token)).toBe("in: ann");
});

test("during an outage an unknown key is 503, because it may be a rotated one", async () => {
  const issuer = await anIssuer();
  const { clock, outcome } = aStage([optionsOf(issuer)]);
  await outcome(await issuer.sign(good(issuer)));
  await issuer.addKey("two");
  issuer.publish("two");
  issuer.answerWith((_, response) => response.writeHead(503).end());
  clock.advance(31);
  expect(await outcome(await issuer.sign(good(issuer), { kid: "two" }))).toBe("identity_unavailable");
});

/** A token that is known, and whose key its issuer has replaced since. */
async function withdrawn() {
  const issuer = await anIssuer();
  const { clock, outcome } = aStage([optionsOf(issuer)]);
  const old = await issuer.sign(good(issuer, { exp: 1_900_000_000 }));
  expect(await outcome(old)).toBe("in: ann");
  await issuer.addKey("two");
  issuer.publish("two");
  return { issuer, clock, outcome, old };
}

test("a withdrawn key is refused after the next fetch, remembered verifications too", async () => {
  const { issuer, clock, outcome, old } = await withdrawn();
  clock.advance(31);
  expect(await outcome(old)).toBe("in: ann");
  expect(await outcome(await issuer.sign(good(issuer), { kid: "two" }))).toBe("in: ann");
  expect(await outcome(old)).toBe("token_invalid");
});

test("a withdrawn key is refused soon after five minutes, though nobody brings the new one", async () => {
  const { issuer, clock, outcome, old } = await withdrawn();
  clock.advance(299);
  await outcome(old);
  expect(issuer.fetches).toBe(1);
  clock.advance(61);
  await outcome(old);
  await expect.poll(() => outcome(old)).toBe("token_invalid");
  expect(issuer.fetches).toBe(2);
});

test("a clock that is set back does not keep an issuer from being asked again", async () => {
  const issuer = await anIssuer();
  const { clock, outcome } = aStage([optionsOf(issuer)]);
  const token = await issuer.sign(good(issuer, { iat: EPOCH - 7_200 }));
  issuer.answerWith((_, response) => response.writeHead(500).end());
  expect(await outcome(token)).toBe("identity_unavailable");
  issuer.answerWith(undefined);
  clock.advance(-3_600);
  expect(await outcome(token)).toBe("in: ann");
});

type Reply = readonly [status: number, body: string | Buffer, headers?: Record<string, string>];

/** Each but the first three would be the issuer's keys, were it taken. */
test.each<[string, (keys: string, elsewhere: string) => Reply]>([
  ["a redirect", (_, location) => [302, "", { location }]],
  ["no JSON", () => [200, "<html>"]],
  ["no key set", () => [200, "[]"]],
  ["another status", (keys) => [404, keys]],
  ["too many bytes", (keys) => [200, keys + " ".repeat(300_000)]],
  ["too many keys", (keys) => [200, keys.replace("[", `[${'{"kty":"EC"},'.repeat(100)}`)]],
  ["no UTF-8", (keys) => [200, Buffer.from(keys.replace("{", '{"name":"\xff",'), "latin1")]],
])("a JWKS answer with %s is no answer", async (_, replyWith) => {
  const issuer = await anIssuer();
  const elsewhere = await anIssuer();
  const { outcome } = aStage([optionsOf(issuer)]);
  const keys = JSON.stringify({ keys: [issuer.publicJwk("one")] });
  const [status, body, headers] = replyWith(keys, elsewhere.jwks_uri);
  issuer.answerWith((_request, response) => response.writeHead(status, headers).end(body));
  expect(await outcome(await issuer.sign(good(issuer)))).toBe("identity_unavailable");
  expect(elsewhere.fetches).toBe(0);
});

test("an issuer that hangs is given up after five seconds", async () => {
  const issuer = await anIssuer();
  const { outcome } = aStage([optionsOf(issuer)]);
  issuer.answerWith(() => {});
  const start = performance.now();
  expect(await outcome(await issuer.sign(good(issuer)))).toBe("identity_unavailable");
  expect(performance.now() - start).toBeLessThan(9_000);
});

test("keys are fetched over https or from loopback only", async () => {
  const issuer = await anIssuer();
  for (const jwks_uri of [
    "http://issuer.example/jwks",
    "http://127.0.0.1.evil.example/jwks",
    "file:///etc/passwd",
    "http://10.0.0.1/",
  ]) {
    expect(() => aStage([{ ...optionsOf(issuer), jwks_uri }])).toThrow(/https/);
  }
});

test("an issuer in this process gives its keys without a fetch", async () => {
  const issuer = await anIssuer();
  const { jwks_uri, ...options } = optionsOf(issuer) as ReturnType<typeof optionsOf> & { jwks_uri: string };
  const { outcome } = aStage([
    { ...options, keys: async () => ({ keys: [{ ...issuer.publicJwk("one") }] }) as never },
  ]);
  expect(await outcome(await issuer.sign(good(issuer)))).toBe("in: ann");
  expect([issuer.fetches, jwks_uri]).toEqual([0, issuer.jwks_uri]);
});
