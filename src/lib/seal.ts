import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes } from "node:crypto";
import { PortcullisError } from "./errors.ts";
import { isJsonObject, type Json } from "./json.ts";
import { LRUCache } from "./lru.ts";
import { Secret } from "./secret.ts";

/**
 * Keeps a value secret and whole while it is in other hands: a client's `requestState`, a shared store, a channel
 * between replicas. Whoever has the key can open it, for the purpose that it was sealed for and until it expires.
 */
export interface Seal {
  /** base64url text. `expires`: milliseconds since the epoch. */
  seal(purpose: string, value: Json, expires: number): string;
  /** undefined: expired, of another purpose, or not sealed with this key. `now`: milliseconds since the epoch. */
  open(purpose: string, text: string, now: number): Json | undefined;
  /** A name for a purpose: the same for all who have this key, and for nobody else. */
  nameFor(purpose: string): string;
}

const KEY_BYTES = 32;
const SALT_BYTES = 16;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const NAME_BYTES = 12;
const HEAD_BYTES = SALT_BYTES + NONCE_BYTES;

/**
 * AES-256-GCM. Each purpose has its key (HKDF-SHA-256, RFC 5869) and each text another made from it and a random salt:
 * under one key alone, random nonces wear out after 2^32 texts (NIST SP 800-38D section 8.3).
 *
 * @throws PortcullisError `internal` for a key of less than 32 bytes
 */
export function createSeal(key: Secret | Buffer): Seal {
  const master = key instanceof Secret ? Buffer.from(key.reveal()) : key;
  if (master.length < KEY_BYTES)
    throw new PortcullisError("internal", { reason: `a sealing key needs ${KEY_BYTES} bytes or more` });
  const keys = new LRUCache<string, Buffer>({ max: 1000 });

  function keyOf(purpose: string, salt: Buffer): Buffer {
    let known = keys.get(purpose);
    if (known === undefined) {
      known = Buffer.from(hkdfSync("sha256", master, "portcullis seal", purpose, KEY_BYTES));
      keys.set(purpose, known);
    }
    return createHmac("sha256", known).update(salt).digest();
  }

  return {
    nameFor: (purpose) =>
      Buffer.from(hkdfSync("sha256", master, "portcullis place", purpose, NAME_BYTES)).toString("base64url"),
    seal(purpose, value, expires) {
      const head = randomBytes(HEAD_BYTES);
      const salt = head.subarray(0, SALT_BYTES);
      const cipher = createCipheriv("aes-256-gcm", keyOf(purpose, salt), head.subarray(SALT_BYTES));
      cipher.setAAD(Buffer.from(purpose));
      const body = cipher.update(JSON.stringify({ expires, value }));
      return Buffer.concat([head, body, cipher.final(), cipher.getAuthTag()]).toString("base64url");
    },
    open(purpose, text, now) {
      const bytes = Buffer.from(text, "base64url");
      // One text for one value: the decoder skips what is not base64url.
      if (bytes.length < HEAD_BYTES + TAG_BYTES || bytes.toString("base64url") !== text) return undefined;
      const opened = decipher(keyOf(purpose, bytes.subarray(0, SALT_BYTES)), purpose, bytes);
      if (opened === undefined) return undefined;
      const sealed: unknown = JSON.parse(opened);
      if (!isJsonObject(sealed) || typeof sealed.expires !== "number" || sealed.expires <= now)
        return undefined;
      return sealed.value;
    },
  };
}

function decipher(key: Buffer, purpose: string, bytes: Buffer): string | undefined {
  const tag = bytes.length - TAG_BYTES;
  const decipher = createDecipheriv("aes-256-gcm", key, bytes.subarray(SALT_BYTES, HEAD_BYTES), {
    authTagLength: TAG_BYTES,
  });
  decipher.setAAD(Buffer.from(purpose)).setAuthTag(bytes.subarray(tag));
  const body = decipher.update(bytes.subarray(HEAD_BYTES, tag));
  try {
    return Buffer.concat([body, decipher.final()]).toString();
  } catch {
    return undefined;
  }
}
