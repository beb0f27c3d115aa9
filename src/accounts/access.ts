import { performance } from "node:perf_hooks";
import { setTimeout as pause } from "node:timers/promises";
import type { Clock } from "../lib/clock.ts";
import { PortcullisError, toPortcullisError } from "../lib/errors.ts";
import { randomId } from "../lib/ids.ts";
import { sha256 } from "../lib/json.ts";
import type { Log } from "../lib/log.ts";
import { LRUCache } from "../lib/lru.ts";
import type { OAuthClient } from "../lib/oauth/provider.ts";
import type { Link, LinkKey, Links } from "./links.ts";
import type { TenantKeys } from "./tenant-keys.ts";
import { type Held, heldOf, openHeld, sealHeld } from "./tokens.ts";

/** An access token this close to its end is refreshed while it still serves. */
const EARLY_MS = 60_000;
/** With less left than this it serves no more. */
const LEAST_MS = 10_000;
/** How long a caller waits for a provider; the refresh itself goes on, since its rotated token must not be lost. */
const PATIENCE_MS = 10_000;
/** How often a replica looks whether another one's refresh is done. */
const LOOK_MS = 100;
/** How long a new refresh token is tried to be saved: with what its provider took, within the claim on its row. */
const SAVE_MS = 25_000;
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 4_000;
const REJECTED = 10_000;

/** linked: tokens that serve. Otherwise the user has to link: for the first time, or again. */
export type Access =
  | { readonly kind: "linked"; readonly held: Held }
  | { readonly kind: "unlinked" | "broken" };

export interface AccessOptions {
  readonly links: Links;
  readonly keys: TenantKeys;
  /** The account's provider; undefined: configuration has it no more. */
  readonly clientOf: (account: string) => OAuthClient | undefined;
  readonly patienceMs?: number;
  readonly clock: Clock;
  readonly log: Log;
}

/** Access tokens of links. However many ask, on however many replicas, a refresh token is used once. */
export interface AccessTokens {
  /** Rejects with `idp_unavailable` or `account_unavailable`. */
  of(key: LinkKey): Promise<Access>;
  /** This access token was not accepted: it is handed out no more, and the next asker causes a refresh. */
  reject(token: Held["access"]): void;
  /** Resolves when no refresh is under way. */
  close(): Promise<void>;
}

export function createAccessTokens(options: AccessOptions): AccessTokens {
  const { links, keys, clock, log, patienceMs = PATIENCE_MS } = options;
  const refreshing = new Map<string, Promise<Access>>();
  const rejected = new LRUCache<string, true>({ max: REJECTED });

  async function read(key: LinkKey): Promise<{ link: Link; held: Held } | Access> {
    const link = await links.find(key);
    if (link === undefined) return { kind: "unlinked" };
    if (link.sealed === null) return { kind: "broken" };
    const held = await openHeld(keys, key, link.sealed);
    if (held !== null) return { link, held };
    log.error({ tenant: key.tenant, account: key.account }, "a stored link cannot be decrypted");
    return { kind: "broken" };
  }

  /** Without a refresh token there is no other to be had: a rejected one stays until its user unlinks it. */
  const left = ({ access, expires, refresh }: Held): number =>
    refresh !== null && rejected.has(sha256(access.reveal())) ? 0 : expires - clock();

  /** At most one refresh of a link at once in this process. */
  function refreshed(key: LinkKey): Promise<Access> {
    const name = JSON.stringify([key.tenant, key.issuer, key.subject, key.account]);
    let pending = refreshing.get(name);
    if (pending === undefined) {
      pending = refresh(key).finally(() => refreshing.delete(name));
      refreshing.set(name, pending);
    }
    return pending;
  }

  /** One refresh across all replicas: whoever does not get the claim waits for what its holder writes. */
  async function refresh(key: LinkKey): Promise<Access> {
    const holder = randomId();
    for (;;) {
      const found = await read(key);
      if (!("link" in found)) return found;
      const { link, held } = found;
      if (left(held) > EARLY_MS) return { kind: "linked", held };
      if (await links.claim(key, link.version, holder)) return renew(key, holder, { link, held });
      await pause(LOOK_MS);
    }
  }

  /** The claim is held: nobody else uses this refresh token. */
  async function renew(
    key: LinkKey,
    holder: string,
    { link, held }: { link: Link; held: Held },
  ): Promise<Access> {
    const client = options.clientOf(key.account);
    const answer =
      held.refresh === null || client === undefined
        ? ({ ok: false, error: "invalid_grant" } as const)
        : await client.refresh(held.refresh).catch((thrown: unknown) => release(key, holder, thrown));
    if (!answer.ok && answer.error !== "invalid_grant") {
      const refused = new PortcullisError("idp_refused", {
        reason: `${key.account} refused: ${answer.error}`,
      });
      return release(key, holder, refused);
    }
    const now = new Date(clock());
    if (!answer.ok) {
      log.warn({ tenant: key.tenant, account: key.account }, "a provider has ended a link");
      await links.settle(key, holder, { sealed: null, scopes: link.scopes, now });
      return { kind: "broken" };
    }
    const next = heldOf(answer.tokens, clock, held.refresh);
    const until = performance.now() + SAVE_MS;
    const sealed = await insist(until, () => sealHeld(keys, key, next));
    const change = { sealed, scopes: answer.tokens.scope ?? link.scopes, now };
    // Stored before it is used: what only this process knew would be lost with it.
    if (await insist(until, () => stored(key, holder, change))) return { kind: "linked", held: next };
    // Unlinked or linked anew meanwhile: what was just issued is nobody's.
    await client?.revoke(next.refresh ?? next.access).catch(() => false);
    return refresh(key);
  }

  /** Also when an earlier attempt was stored, and only its answer lost. */
  async function stored(
    key: LinkKey,
    holder: string,
    change: Parameters<Links["settle"]>[2],
  ): Promise<boolean> {
    return (await links.settle(key, holder, change)) || (await links.find(key))?.sealed === change.sealed;
  }

  async function release(key: LinkKey, holder: string, thrown: unknown): Promise<never> {
    await links.release(key, holder).catch(() => {});
    throw toPortcullisError(thrown);
  }

  return {
    async of(key) {
      const found = await read(key);
      if (!("link" in found)) return found;
      const { held } = found;
      const rest = left(held);
      if (rest > EARLY_MS) return { kind: "linked", held };
      const pending = refreshed(key);
      if (rest <= LEAST_MS) return within(patienceMs, pending, key);
      pending.catch((error: unknown) =>
        log.warn(
          { account: key.account, reason: toPortcullisError(error).message },
          "an early refresh failed",
        ),
      );
      return { kind: "linked", held };
    },
    reject: (token) => void rejected.set(sha256(token.reveal()), true),
    async close() {
      await Promise.allSettled(refreshing.values());
    },
  };
}

async function within(ms: number, pending: Promise<Access>, { account }: LinkKey): Promise<Access> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    const reason = `${account} did not refresh in time`;
    timer = setTimeout(() => reject(new PortcullisError("idp_unavailable", { reason })), ms);
  });
  return Promise.race([pending, late]).finally(() => clearTimeout(timer));
}

/** The refresh token that was used is dead, so the one that came instead is worth some patience with database and keys. */
async function insist<T>(until: number, attempt: () => Promise<T>): Promise<T> {
  for (let wait = FIRST_PAUSE_MS; ; wait = Math.min(wait * 2, LONGEST_PAUSE_MS)) {
    try {
      return await attempt();
    } catch (thrown) {
      if (performance.now() + wait > until) throw thrown;
    }
    await pause(wait);
  }
}
