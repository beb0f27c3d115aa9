import { randomBytes } from "node:crypto";
import { expect, test } from "vitest";
import { createRunTokens } from "../../src/identity/run-token.ts";
import { audience, EPOCH, handClock } from "./issuer.ts";

const ISSUER = "https://gate.example";
const CLAIMS = { id: "run", subject: "ann", audiences: [audience("support")], expires: EPOCH + 60 };

/** Two gateways that share their key: replicas, unless their public URLs differ. */
function tokensOf(key: Buffer, issuer = ISSUER) {
  return createRunTokens({ key, issuer, clock: handClock() });
}

const codeOf = (verified: Promise<string>) =>
  verified.then(
    () => "in",
    (error: { code?: string }) => error.code,
  );

test("a run token is for the servers that it names, also where another of them has just taken it", async () => {
  const tokens = tokensOf(randomBytes(32));
  const token = (await tokens.sign(CLAIMS)).reveal();
  expect(await codeOf(tokens.verify(token, audience("files")))).toBe("token_invalid");
  expect(await tokens.verify(token, audience("support"))).toBe("run");
  expect(await codeOf(tokens.verify(token, audience("files")))).toBe("token_invalid");
});

test("a run token is its own gateway's: another of the same key takes none of it", async () => {
  const key = randomBytes(32);
  const token = (await tokensOf(key).sign(CLAIMS)).reveal();
  expect(await tokensOf(key).verify(token, audience("support"))).toBe("run");
  const other = tokensOf(key, "https://other.example");
  expect(await codeOf(other.verify(token, audience("support")))).toBe("token_invalid");
});

test("no tokens are signed with a key that could be guessed", () => {
  expect(() => tokensOf(randomBytes(31))).toThrow(expect.objectContaining({ code: "internal" }));
});

test("a run token ends when its run does, also where it was taken before", async () => {
  const key = randomBytes(32);
  const clock = handClock();
  const [taken, fresh] = [0, 1].map(() => createRunTokens({ key, issuer: ISSUER, clock }));
  const token = (await taken?.sign(CLAIMS))?.reveal() ?? "";
  clock.advance(59);
  expect(await taken?.verify(token, audience("support"))).toBe("run");
  clock.advance(1);
  for (const tokens of [taken, fresh])
    expect(await codeOf(tokens?.verify(token, audience("support")) ?? Promise.resolve("none"))).toBe(
      "token_expired",
    );
});
