import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from "node:crypto";
import { PortcullisError } from "../lib/errors.ts";
import type { Secret } from "../lib/secret.ts";

const IV = 12;
const TAG = 16;
export const KEY_BYTES = 32;

/** AES-256-GCM; base64url of iv, ciphertext and tag. `context` must be the same to open it. */
export function seal(key: Uint8Array, context: string, text: string): string {
  const iv = randomBytes(IV);
  const cipher = createCipheriv("aes-256-gcm", key, iv).setAAD(Buffer.from(context));
  return Buffer.concat([iv, cipher.update(text, "utf8"), cipher.final(), cipher.getAuthTag()]).toString(
    "base64url",
  );
}

/** null: not sealed with this key for this context, or changed since. */
export function unseal(key: Uint8Array, context: string, sealed: string): string | null {
  const bytes = Buffer.from(sealed, "base64url");
  // Text has one encoding only, so that what is used once cannot come back written otherwise.
  if (bytes.length < IV + TAG || bytes.toString("base64url") !== sealed) return null;
  try {
    const decipher = createDecipheriv("aes-256-gcm", key, bytes.subarray(0, IV), { authTagLength: TAG });
    decipher.setAAD(Buffer.from(context)).setAuthTag(bytes.subarray(-TAG));
    return Buffer.concat([decipher.update(bytes.subarray(IV, -TAG)), decipher.final()]).toString("utf8");
  } catch {
    return null;
  }
}

/** A key for one purpose, from the master key (HKDF, RFC 5869). */
export function derive(master: Uint8Array, purpose: string): Uint8Array {
  return Buffer.from(hkdfSync("sha256", master, "", `portcullis accounts: ${purpose}`, KEY_BYTES));
}

/** 32 bytes in hexadecimal, base64 or base64url. Throws `credential_unavailable`, which does not show it. */
export function masterKeyOf(secret: Secret): Uint8Array {
  const text = secret.reveal().trim();
  const bytes = Buffer.from(text, /^[0-9a-f]{64}$/i.test(text) ? "hex" : "base64");
  if (bytes.length === KEY_BYTES && /^[\w+/=-]{43,64}$/.test(text)) return bytes;
  throw new PortcullisError("credential_unavailable", {
    reason: "accounts.master_key is not 32 bytes in base64 or hexadecimal",
  });
}
