import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { calculateJwkThumbprint, exportJWK, type JWTPayload, SignJWT } from "jose";
import { PortcullisError } from "../lib/errors.ts";
import type { JsonObject } from "../lib/json.ts";
import type { Secret } from "../lib/secret.ts";

/**
 * The header `typ` of assertions. Not `at+jwt` (RFC 9068): a verifier of access tokens, this gateway's own included,
 * refuses them, so an upstream cannot turn one round.
 */
const ASSERTION_TYPE = "portcullis+jwt";

export interface Signer {
  sign(claims: JWTPayload): Promise<string>;
  /** RFC 7517. */
  readonly publicKey: JsonObject;
}

/**
 * Signs with ES256 or Ed25519 as the key says.
 * @param pem a PKCS #8 private key; without it one is made, and lives as long as the process
 * @throws PortcullisError `credential_unavailable` if the key is of another kind
 */
export async function createSigner(pem: Secret | null): Promise<Signer> {
  const key = pem === null ? generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey : readKey(pem);
  const alg = algorithmOf(key);
  const jwk = await exportJWK(createPublicKey(key));
  const kid = await calculateJwkThumbprint(jwk);
  return {
    sign: (claims) => new SignJWT(claims).setProtectedHeader({ alg, kid, typ: ASSERTION_TYPE }).sign(key),
    publicKey: { ...(jwk as JsonObject), kid, alg, use: "sig" },
  };
}

function readKey(pem: Secret): KeyObject {
  try {
    return createPrivateKey(pem.reveal());
  } catch {
    throw unusable("is not a private key in PEM");
  }
}

function algorithmOf(key: KeyObject): "ES256" | "EdDSA" {
  if (key.asymmetricKeyType === "ed25519") return "EdDSA";
  if (key.asymmetricKeyDetails?.namedCurve === "prime256v1") return "ES256";
  throw unusable("is neither P-256 nor Ed25519");
}

function unusable(what: string): PortcullisError {
  return new PortcullisError("credential_unavailable", { reason: `the signing key ${what}` });
}
