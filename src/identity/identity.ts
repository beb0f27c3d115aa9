import { hash } from "node:crypto";
import type { Identity, Principal, TenantRecord } from "../domain.ts";
import type { Clock } from "../lib/clock.ts";
import { type ErrorCode, PortcullisError, toPortcullisError } from "../lib/errors.ts";
import { digest, type JsonObject } from "../lib/json.ts";
import type { Log } from "../lib/log.ts";
import { LRUCache } from "../lib/lru.ts";
import type { Secret } from "../lib/secret.ts";
import { createProtectedResource, type Problem, type ProtectedResource } from "./challenge.ts";
import { type Directory, lookUp } from "./directory.ts";
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
  /** Absent: there are no runs. */
  readonly runs?: RunBearers;
}

/** Who bears the token of a run. */
export interface RunBearers {
  /** Whether a token is one of a run, and so for nobody else to verify. */
  is(token: string): boolean;
  /** Throws `token_invalid`, `token_expired`, `run_ended` or `store_unavailable`. */
  bearer(token: string, server: string): Promise<Proved>;
}

/** What a token proved: the same object while nothing about it changed. */
export interface Proved {
  /** With the attributes from claims only. */
  readonly principal: Principal;
  /** Seconds since the epoch. */
  readonly expires: number;
}

/** A user's own token, for what is no virtual server. */
export interface OwnToken {
  readonly identity: Identity;
  /** As the token alone says it, without what the directory knows. */
  readonly claimed: Principal;
  /** Of those that were asked for, the ones that the token names. */
  readonly servers: readonly string[];
}

export interface IdentityStage extends ProtectedResource {
  /**
   * Who bears this token on this virtual server. Throws `token_missing`, `token_invalid`, `token_expired`, `run_ended`
   * (each with its `WWW-Authenticate`), `insufficient_scope` (likewise), `tenant_unknown`, `identity_unavailable` or
   * `store_unavailable`.
   */
  authenticate(bearer: Secret | undefined, server: string): Promise<Identity>;
  /**
   * Who bears this token, which is good for one of these servers at least; scopes are not looked at. The challenge names
   * the first. A run's token is refused: `run_refused`. Otherwise throws as `authenticate` does.
   */
  authenticateOwn(bearer: Secret | undefined, servers: readonly string[]): Promise<OwnToken>;
  close(): void;
}

interface Believed extends VerifiedToken {
  readonly since: number;
  readonly until: number;
}

interface Known {
  readonly record: TenantRecord;
  readonly attributes: JsonObject;
  readonly identity: Identity;
}

/** The refusals that are answered with a challenge, and the error it names. "": none (RFC 6750 section 3.1). */
const CHALLENGED: Partial<Record<ErrorCode, Problem["error"] | "">> = {
  token_missing: "",
  token_invalid: "invalid_token",
  token_expired: "invalid_token",
  run_ended: "invalid_token",
  insufficient_scope: "insufficient_scope",
};

/** Turns bearer tokens into identities: JWT access tokens (RFC 9068) of several issuers, for several audiences. */
export function createIdentity(options: IdentityOptions): IdentityStage {
  const { audience, clock, directory, runs, scopes = () => [] } = options;
  const verifier = createTokenVerifier(options);
  const resource = createProtectedResource({
    audience,
    issuers: options.issuers.map((one) => one.issuer),
    scopes,
  });
  const believed = new LRUCache<string, Believed>({ max: MAX_BELIEVED });
  const pending = new Map<string, Promise<Believed>>();
  /** The identity last made of what a token proved. */
  const identities = new WeakMap<Proved, Known>();

  async function verify(token: string, server: string): Promise<Believed> {
    const verified = await verifier.verify(token, [audience(server)]);
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

  /** A run outlives what its user's token was verified by, but not its issuer's place in the configuration. */
  async function bearerOfRun(from: RunBearers, token: string, server: string): Promise<Proved> {
    const proved = await from.bearer(token, server);
    if (options.issuers.some(({ issuer }) => issuer === proved.principal.issuer)) return proved;
    throw new PortcullisError("token_invalid", { reason: "the issuer is not configured" });
  }

  async function identify(proved: Proved): Promise<Identity> {
    const { principal } = proved;
    const [record, attributes] = await lookUp(directory, principal);
    const latest = identities.get(proved);
    if (latest?.record === record && latest.attributes === attributes) return latest.identity;
    const whole = Object.freeze({ ...principal, attributes: { ...principal.attributes, ...attributes } });
    const identity: Identity = {
      principal: whole,
      tenant: record,
      expires: proved.expires,
      digest: digest([{ ...whole }, record]),
    };
    identities.set(proved, { record, attributes, identity });
    return identity;
  }

  async function authenticate(bearer: Secret | undefined, server: string): Promise<Identity> {
    if (bearer === undefined) throw new PortcullisError("token_missing");
    const token = bearer.reveal();
    const proved = runs?.is(token) ? await bearerOfRun(runs, token, server) : await believe(token, server);
    const needed = scopes(server);
    const missing = needed.filter((scope) => !proved.principal.scopes.includes(scope));
    if (missing.length > 0) {
      throw new PortcullisError("insufficient_scope", {
        reason: missing.join(" "),
        data: { scopes: needed },
      });
    }
    return identify(proved);
  }

  async function authenticateOwn(bearer: Secret | undefined, servers: readonly string[]): Promise<OwnToken> {
    if (bearer === undefined) throw new PortcullisError("token_missing");
    const token = bearer.reveal();
    if (runs?.is(token)) throw new PortcullisError("run_refused", { reason: "this is a run's own token" });
    const verified = await verifier.verify(token, servers.map(audience));
    return {
      identity: await identify(verified),
      claimed: verified.principal,
      servers: servers.filter((server) => verified.audiences.includes(audience(server))),
    };
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
    async authenticateOwn(bearer, servers) {
      try {
        return await authenticateOwn(bearer, servers);
      } catch (error) {
        throw withChallenge(toPortcullisError(error), servers[0] ?? "");
      }
    },
    close() {
      verifier.close();
      believed.clear();
    },
  };
}
