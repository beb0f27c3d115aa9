import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
} from "node:crypto";
import { linkSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { randomId } from "../lib/ids.ts";
import type { JsonObject } from "../lib/json.ts";

/** The ES256 key that access tokens are signed with. */
export interface SigningKey {
  /** For the provider only. */
  readonly privateJwk: JsonObject;
  readonly jwks: { readonly keys: readonly JsonObject[] };
  /** A compact JWS of these claims, with this `typ`. */
  sign(claims: JsonObject, typ: string): string;
}

/** The key in this PEM file, made there (mode 600) if there is none; without a file: a new one, in memory. */
export function openSigningKey(file?: string): SigningKey {
  return signingKey(file === undefined ? newKey() : (readKey(file) ?? writeKey(file)));
}

function newKey(): KeyObject {
  return generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
}

function readKey(file: string): KeyObject | undefined {
  try {
    return createPrivateKey(readFileSync(file));
  } catch (error) {
    if (isNamed(error, "ENOENT")) return undefined;
    throw error;
  }
}

/** Processes that start together (one `stdio` for each client) have one key: the first that is there, and it whole. */
function writeKey(file: string): KeyObject {
  const own = `${file}.${randomId()}`;
  writeFileSync(own, newKey().export({ type: "pkcs8", format: "pem" }), { mode: 0o600, flush: true });
  try {
    linkSync(own, file);
  } catch (error) {
    if (!isNamed(error, "EEXIST")) throw error;
  } finally {
    rmSync(own);
  }
  return createPrivateKey(readFileSync(file));
}

function isNamed(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}

function signingKey(key: KeyObject): SigningKey {
  const { kty, crv, x, y } = createPublicKey(key).export({ format: "jwk" });
  if (kty !== "EC" || crv !== "P-256" || x === undefined || y === undefined)
    throw new TypeError("not a P-256 key");
  // RFC 7638: the members in this order.
  const kid = createHash("sha256").update(JSON.stringify({ crv, kty, x, y })).digest("base64url");
  const publicJwk = { kty, crv, x, y, kid, alg: "ES256", use: "sig" };
  const { d = "" } = key.export({ format: "jwk" });
  return {
    privateJwk: { ...publicJwk, d },
    jwks: { keys: [publicJwk] },
    sign(claims, typ) {
      const input = `${encoded({ alg: "ES256", typ, kid })}.${encoded(claims)}`;
      const signature = sign("sha256", Buffer.from(input), { key, dsaEncoding: "ieee-p1363" });
      return `${input}.${signature.toString("base64url")}`;
    },
  };
}

function encoded(value: JsonObject): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}
