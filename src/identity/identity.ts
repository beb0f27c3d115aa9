import { hash } from "node:crypto";
import type { Identity, TenantRecord } from "../domain.ts";
import type { Clock } from "../lib/clock.ts";
import { type ErrorCode, PortcullisError, toPortcullisError } from "../lib/errors.ts";
import { digest, type JsonObject } from "../lib/json.ts";
import type { Log } from "../lib/log.ts";
import { LRUCache } from "../lib/lru.ts";
import type { Secret } from "../lib/secret.ts";
import { createProtectedResource, type Problem, type ProtectedResource } from "./challenge.ts";
import type { Directory } from "./directory.ts";
import { createTokenVerifier, type IssuerOptions, type VerifiedToken } from "./token.ts";

/** A verification is believed this long at most; the record and the attributes are looked up each time. */
const BELIEVED_MS = 60_000;
const MAX_BELIEVED = 10_000;

export interface IdentityOptions {
  readonly issuers: readonly IssuerOptions[];
  /** The exact URL of a virtual server, which its tokens must name in `aud`. */
  readonly audience: (server: string) => string;
  readonly directory: Directory;
  readonly clock: Clock;
  readonly fetch: typeof fetch;
  readonly log: Log;
  /** Scopes that a virtual server's tokens all need, also told in challenges; none by default. */
  readonly scopes?: (server: string) => readonly string[];
  readonly clockToleranceSeconds?: number;
}

export interface IdentityStage extends ProtectedResource {
  /**
   * Who bears this token on this virtual server. Throws `token_missing`, `token_invalid`, `token_expired` (each with
   * its `WWW-Authenticate`), `insufficient_scope` (likewise), `tenant_unknown` or `identity_unavailable`.
   */
  authenticate(bearer: Secret | undefined, server: string): Promise<Identity>;
  /** The issuers whose tokens cannot be checked right now; fetches keys that were not needed before. */
  unready(): Promise<readonly string[]>;
  close(): void;
}

/** A verified token, and the identity last made of it. */
interface Believed extends VerifiedToken {
  readonly since: number;
  readonly until: number;
  latest?: { readonly record: TenantRecord; readonly attributes: JsonObject; readonly identity: Identity };
}

/** The refusals that are answered with a challenge, and the error it names. "": none (RFC 6750 section 3.1). */
const CHALLENGED: Partial<Record<ErrorCode, Problem["error"] | "">> = {
  token_missing: "",
  token_invalid: "invalid_token",
  token_expired: "invalid_token",
  insufficient_scope: "insufficient_scope",
};

/** Turns bearer tokens into identities: JWT access tokens (RFC 9068) of several issuers, for several audiences. */
export function createIdentity(options: IdentityOptions): IdentityStage {
  const { audience, clock, directory, scopes = () => [], clockToleranceSeconds = 30 } = options;
  const verifier = createTokenVerifier({ ...options, clockToleranceSeconds });
  const resource = createProtectedResource({
    audience,
    issuers: options.issuers.map((one) => one.issuer),
    scopes,
  });
  const believed = new LRUCache<string, Believed>({ max: MAX_BELIEVED });
  const pending = new Map<string, Promise<Believed>>();

  async function verify(token: string, server: string): Promise<Believed> {
    const verified = await verifier.verify(token, audience(server));
    const since = clock();
    return {
      ...verified,
      since,
      until: Math.min(since + BELIEVED_MS, verified.acceptedUntil * 1_000),
    };
  }

  /** One verification for all who come with this token to this server meanwhile. Failures are not kept. */
  function verifyOnce(key: string, token: string, server: string): Promise<Believed> {
    const running = pending.get(key);
    if (running !== undefined) return running;
    const verification = verify(token, server)
      .then((result) => {
        believed.set(key, result);
        return result;
      })
      .finally(() => pending.delete(key));
    pending.set(key, verification);
    return verification;
  }

  function believe(token: string, server: string): Believed | Promise<Believed> {
    // A digest (1.5 µs) and not the token: a heap dump of the cache holds nothing to log in with. The issuer is in
    // the token; the server is in the key, because a token for one is no token for another.
    const key = `${server}\n${hash("sha256", token, "base64")}`;
    const known = believed.get(key);
    const now = clock();
    const holds =
      known && now >= known.since && now < known.until && known.keysVersion === known.keys.version;
    return holds ? known : verifyOnce(key, token, server);
  }

  async function identify(verified: Believed): Promise<Identity> {
    const { principal } = verified;
    const [record, attributes] = await lookUp(directory, principal);
    const latest = verified.latest;
    if (latest?.record === record && latest.attributes === attributes) return latest.identity;
    const whole = Object.freeze({ ...principal, attributes: { ...principal.attributes, ...attributes } });
    const identity: Identity = {
      principal: whole,
      tenant: record,
      expires: verified.expires,
      digest: digest([{ ...whole }, record]),
    };
    verified.latest = { record, attributes, identity };
    return identity;
  }

  async function authenticate(bearer: Secret | undefined, server: string): Promise<Identity> {
    if (bearer === undefined) throw new PortcullisError("token_missing");
    const verified = await believe(bearer.reveal(), server);
    const needed = scopes(server);
    const missing = needed.filter((scope) => !verified.principal.scopes.includes(scope));
    if (missing.length > 0) {
      throw new PortcullisError("insufficient_scope", {
        reason: missing.join(" "),
        data: { scopes: needed },
      });
    }
    return identify(verified);
  }

  function withChallenge(refusal: PortcullisError, server: string): PortcullisError {
    const { code, text, data, reason, cause } = refusal;
    const error = CHALLENGED[code];
    if (error === undefined) return refusal;
    const problem = error === "" ? undefined : { error, description: text };
    const headers = { "WWW-Authenticate": resource.challenge(server, problem) };
    return new PortcullisError(code, { text, reason, cause, headers, ...(data && { data }) });
  }

  return {
    ...resource,
    async authenticate(bearer, server) {
      try {
        return await authenticate(bearer, server);
      } catch (error) {
        throw withChallenge(toPortcullisError(error), server);
      }
    },
    unready: verifier.unready,
    close() {
      verifier.close();
      believed.clear();
    },
  };
}

async function lookUp(
  directory: Directory,
  { issuer, subject, tenant }: { issuer: string; subject: string; tenant: string },
): Promise<[TenantRecord, JsonObject]> {
  let found: [TenantRecord | undefined, JsonObject];
  try {
    found = await Promise.all([directory.tenant(tenant), directory.attributes(issuer, subject, tenant)]);
  } catch (cause) {
    throw new PortcullisError("identity_unavailable", { reason: "the directory failed", cause });
  }
  const [record, attributes] = found;
  if (record === undefined)
    throw new PortcullisError("tenant_unknown", { reason: `tenant ${JSON.stringify(tenant)}` });
  return [record, attributes];
}
