import { randomBytes } from "node:crypto";
import { expect, test } from "vitest";
import { createSeal } from "../../src/lib/seal.ts";
import { Secret } from "../../src/lib/secret.ts";

const KEY = randomBytes(32);
const seal = createSeal(KEY);
const NOW = 1_000_000;
const value = { target: "refund", big: 9007199254740991, text: "ünï\0" };

test("a sealed value opens for its purpose until it expires, with the same key", () => {
  const text = seal.seal("request state", value, NOW + 1);
  expect(text).toMatch(/^[\w-]+$/);
  expect(text).not.toContain(Buffer.from("refund").toString("base64url").slice(0, 6));
  expect(seal.open("request state", text, NOW)).toEqual(value);
  expect(createSeal(KEY).open("request state", text, NOW)).toEqual(value);
  expect(seal.open("request state", text, NOW + 1)).toBeUndefined();
});

test("for another purpose, or under another key, it is nothing", () => {
  const text = seal.seal("request state", value, NOW + 1);
  expect(seal.open("session", text, NOW)).toBeUndefined();
  expect(seal.open("", text, NOW)).toBeUndefined();
  expect(createSeal(randomBytes(32)).open("request state", text, NOW)).toBeUndefined();
});

test("one changed, lost or added bit anywhere makes it nothing", () => {
  const text = seal.seal("p", 1, NOW + 1);
  const bytes = Buffer.from(text, "base64url");
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const forged = Buffer.from(bytes);
    forged[bit >> 3] = (forged[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    expect(seal.open("p", forged.toString("base64url"), NOW)).toBeUndefined();
  }
  for (let length = 0; length < bytes.length; length++)
    expect(seal.open("p", bytes.subarray(0, length).toString("base64url"), NOW)).toBeUndefined();
  expect(seal.open("p", Buffer.concat([bytes, Buffer.alloc(1)]).toString("base64url"), NOW)).toBeUndefined();
});

test("one value has one text: what a lenient decoder would skip is refused", () => {
  const text = seal.seal("p", 1, NOW + 1);
  for (const other of [`${text}=`, `${text} `, `${text}!`, `.${text}`, text.replace(/.$/, "=")])
    expect(seal.open("p", other, NOW)).toBeUndefined();
});

test("what never was sealed is nothing: no text makes it throw", () => {
  for (const text of ["", "e30", "💥", "A".repeat(60), '{"expires":9e99}', "\0"])
    expect(seal.open("p", text, NOW)).toBeUndefined();
});

test("a value sealed twice has two texts", () => {
  expect(seal.seal("p", 1, NOW)).not.toBe(seal.seal("p", 1, NOW));
});

test("a short key is refused; a secret of enough characters is one", () => {
  expect(() => createSeal(Buffer.alloc(31))).toThrow(expect.objectContaining({ code: "internal" }));
  expect(() => createSeal(new Secret("short"))).toThrow(expect.objectContaining({ code: "internal" }));
  const secret = createSeal(new Secret("x".repeat(32)));
  expect(secret.open("p", secret.seal("p", null, NOW + 1), NOW)).toBeNull();
});
