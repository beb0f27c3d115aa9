import {
  createLocalJWKSet,
  errors,
  type JSONWebKeySet,
  type JWSHeaderParameters,
  type LocalJWKSet,
} from "jose";
import type { Clock } from "../lib/clock.ts";
import { PortcullisError } from "../lib/errors.ts";
import { isJsonObject, sha256 } from "../lib/json.ts";
import type { Log } from "../lib/log.ts";
import { isSecureUrl } from "../lib/loopback.ts";
import { fetchText } from "./fetch-text.ts";

/** Not more than one fetch in this time, whatever was asked for and however it ended. */
const COOL_DOWN_MS = 30_000;
/** Keys older than this are fetched again while the old ones still serve. */
const FRESH_MS = 300_000;
/** Keys older than this serve no more: an issuer that cannot be reached for an hour may have revoked them. */
const STALE_MS = 3_600_000;
const MAX_KEYS = 100;

/** The issuer's JWKS as text: from its `jwks_uri`, or in-process. */
export type KeySource = (signal: AbortSignal) => Promise<string>;

/** The public keys of one issuer, fetched on first use. */
export interface IssuerKeys {
  /** The key that a token's header names. Throws `token_invalid` (no such key) or `identity_unavailable`. */
  find(header: JWSHeaderParameters): ReturnType<LocalJWKSet>;
  /** The digest of the keys that serve: whoever trusts an earlier verification compares it. */
  readonly version: string;
  close(): void;
}

export function createIssuerKeys({
  issuer,
  source,
  clock,
  log,
}: {
  issuer: string;
  source: KeySource;
  clock: Clock;
  log: Log;
}): IssuerKeys {
  const closing = new AbortController();
  let keys: LocalJWKSet | undefined;
  let version = "";
  let fetchedAt = Number.NEGATIVE_INFINITY;
  let attemptedAt = Number.NEGATIVE_INFINITY;
  let failed = false;
  let pending: Promise<void> | undefined;

  // A clock that was set back must not close the door: only the distance counts.
  const within = (since: number, span: number) => Math.abs(clock() - since) < span;

  async function fetchKeys(): Promise<void> {
    try {
      const text = await source(closing.signal);
      keys = createLocalJWKSet(parseKeys(text));
      if (version !== "" && version !== sha256(text)) log.info({ issuer }, "the issuer's keys changed");
      version = sha256(text);
      fetchedAt = clock();
      failed = false;
    } catch (cause) {
      failed = true;
      log.warn({ issuer, cause: String(cause) }, "the issuer's keys could not be fetched");
    }
  }

  /** One fetch at a time, one in COOL_DOWN_MS; never rejects. */
  function refresh(): Promise<void> {
    if (pending === undefined && !within(attemptedAt, COOL_DOWN_MS)) {
      attemptedAt = clock();
      pending = fetchKeys().finally(() => {
        pending = undefined;
      });
    }
    return pending ?? Promise.resolve();
  }

  async function current(): Promise<LocalJWKSet> {
    if (keys === undefined || !within(fetchedAt, STALE_MS)) await refresh();
    else if (!within(fetchedAt, FRESH_MS)) void refresh();
    if (keys === undefined || !within(fetchedAt, STALE_MS)) throw unavailable(issuer);
    return keys;
  }

  async function find(header: JWSHeaderParameters): ReturnType<LocalJWKSet> {
    const known = await current();
    try {
      return await known(header);
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey)) throw error;
    }
    await refresh();
    try {
      return await (await current())(header);
    } catch (cause) {
      // A rotated key and an issuer that is down look like a made-up key: say what is known.
      if (cause instanceof errors.JWKSNoMatchingKey && failed) throw unavailable(issuer);
      throw cause;
    }
  }

  return {
    find,
    get version() {
      return version;
    },
    close: () => closing.abort(),
  };
}

function unavailable(issuer: string): PortcullisError {
  return new PortcullisError("identity_unavailable", { reason: `no current keys of ${issuer}` });
}

function parseKeys(text: string): JSONWebKeySet {
  const value: unknown = JSON.parse(text);
  const keys = isJsonObject(value) ? value.keys : undefined;
  if (!Array.isArray(keys) || keys.length > MAX_KEYS)
    throw new TypeError("not a JSON Web Key Set of at most 100 keys");
  return { keys } as JSONWebKeySet;
}

/** A source that fetches `jwks_uri` with a bounded body and time, over https or from loopback, without redirects. */
export function remoteKeys(uri: string, fetch: typeof globalThis.fetch): KeySource {
  const url = new URL(uri);
  if (!isSecureUrl(url)) throw new TypeError(`jwks_uri must be https (http on loopback only): ${uri}`);
  return (signal) => fetchText(fetch, url, signal);
}
