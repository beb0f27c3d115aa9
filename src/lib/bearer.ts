import { Secret } from "./secret.ts";

const BEARER = /^bearer +([A-Za-z0-9\-._~+/]+=*) *$/i;

/** The bearer token of an `Authorization` header (RFC 6750 section 2.1); of another scheme, or of nothing that could be a token: none. */
export function bearerOf(authorization: string | undefined): Secret | undefined {
  const token = BEARER.exec(authorization ?? "")?.[1];
  return token === undefined ? undefined : new Secret(token);
}
