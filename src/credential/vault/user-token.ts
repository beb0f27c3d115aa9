import type { Clock } from "../../lib/clock.ts";
import { PortcullisError, toPortcullisError } from "../../lib/errors.ts";
import type { Log } from "../../lib/log.ts";
import type { Secret } from "../../lib/secret.ts";
import { dropTimer, MAX_DELAY_MS } from "../../lib/timers.ts";
import type { VaultCall, VaultClient } from "./client.ts";
import { hasCode } from "./faults.ts";
import { type Granted, grantedBy, isAlive } from "./login.ts";
import type { Manager, VaultContext } from "./manager.ts";

/** A token that hardly lives on is not used: the request takes time. */
const MARGIN_MS = 2_000;

/** The user's token at work: what it obtains ends when it ends. */
export interface UserToken {
  readonly token: Secret;
  readonly context: VaultContext;
  /** Milliseconds since the epoch. */
  expires(): number;
  /** Lets it live on if two thirds of its life are over; what hangs on it may then live on too. */
  refresh(): Promise<void>;
  /**
   * Something hangs on it, until the returned function says that it is gone: the last one ends the token. `onDead` is
   * called when the token was ended early, and what hung on it with it.
   * @throws PortcullisError `vault_denied` where that has happened already
   */
  hold(onDead: () => void): () => Promise<void>;
}

/** One token of a user's in the gateway's hands, from its login to its end. */
export interface HeldToken {
  refresh(): Promise<void>;
  /** Nothing new is obtained with it: it is over, or so near its end, also after a renewal, that it would hardly live. */
  isSpent(): boolean;
  /** It is not ended for want of holders meanwhile. */
  work<T>(decisionId: string, work: (user: UserToken) => Promise<T>): Promise<T>;
  /** Whether Vault still knows it. */
  isAlive(): Promise<boolean>;
  /** It was ended early by somebody else, and every lease of it too. */
  died(): void;
  /** Never rejects: where it cannot be revoked it ends by itself, in minutes. */
  end(): Promise<void>;
}

export interface TokenParts {
  readonly client: VaultClient;
  readonly manager: Pick<Manager, "revokeToken">;
  readonly timeoutMs: number;
  readonly clock: Clock;
  /** 0 to 1: spreads renewals. */
  readonly random: () => number;
  readonly log: Log;
}

interface Given extends TokenParts {
  readonly context: VaultContext;
  /** Before it was asked for: it may have lived since. */
  readonly startedAt: number;
  /** Called once, when it is over. */
  onOver(): void;
}

export function holdToken(granted: Granted, given: Given): HeldToken {
  const { context, client, manager, clock, random, log } = given;
  const { namespace, decisionId } = context;
  const call: VaultCall = { namespace, decisionId, timeoutMs: given.timeoutMs, token: granted.token };
  let life = lifeFrom(given.startedAt, granted.ttl);
  let renewing: Promise<void> | null = null;
  /** Requests under way. */
  let busy = 0;
  /** What hangs on it, to be told when it is dead. */
  const holders = new Set<() => void>();
  /** Ended early by somebody else. */
  let dead = false;
  let ending: Promise<void> | null = null;
  let timer: NodeJS.Timeout | undefined;

  function lifeFrom(startedAt: number, seconds: number) {
    const ms = seconds === 0 ? Number.POSITIVE_INFINITY : seconds * 1000;
    return { expires: startedAt + ms, renewAt: startedAt + ms * (2 / 3 - random() / 10) };
  }

  /** Single flight. A renewal that fails is no harm while the token lives. */
  async function refresh(): Promise<void> {
    if (clock() < life.renewAt || ending !== null || !granted.renewable) return;
    renewing ??= renew().finally(() => {
      renewing = null;
    });
    await renewing;
  }

  async function renew(): Promise<void> {
    const startedAt = clock();
    try {
      const { ttl } = grantedBy(await client.write("auth/token/renew-self", {}, call));
      life = lifeFrom(startedAt, ttl);
    } catch (thrown) {
      // Policy may not let it renew itself; whether it is dead shows when it is used.
      life.renewAt = startedAt + Math.max(1000, (life.expires - startedAt) / 4);
      if (!hasCode(thrown, "vault_denied") && clock() >= life.expires - MARGIN_MS) throw thrown;
    }
  }

  function over(last: () => Promise<void>): Promise<void> {
    if (ending === null) {
      dropTimer(timer);
      ending = last();
      given.onOver();
    }
    return ending;
  }

  async function revoke(): Promise<void> {
    if (granted.accessor === "" || clock() >= life.expires) return;
    await manager.revokeToken(granted.accessor, context).catch((thrown: unknown) => {
      const { code } = toPortcullisError(thrown);
      log.warn(
        { code, tenant: context.tenant },
        "a Vault token could not be revoked; it ends when it expires",
      );
    });
  }

  /** It may have been renewed meanwhile. */
  function watch(): void {
    const onTime = () => (clock() < life.expires ? watch() : void over(async () => {}));
    timer = setTimeout(onTime, Math.min(life.expires - clock(), MAX_DELAY_MS)).unref();
  }

  function hold(onDead: () => void): () => Promise<void> {
    if (dead) throw new PortcullisError("vault_denied", { reason: "the user's token was ended" });
    holders.add(onDead);
    return async () => {
      const held = holders.delete(onDead);
      if (held && holders.size === 0 && busy === 0) await over(revoke);
    };
  }

  watch();
  return {
    refresh,
    isSpent() {
      const left = life.expires - clock();
      return ending !== null || left < MARGIN_MS || left < (granted.ttl * 1000) / 4;
    },
    async work(decisionId, work) {
      busy += 1;
      try {
        const user = { token: granted.token, context: { ...context, decisionId }, refresh, hold };
        return await work({ ...user, expires: () => life.expires });
      } finally {
        busy -= 1;
      }
    },
    isAlive: () => isAlive(client, call),
    died() {
      dead = true;
      void over(async () => {});
      for (const tell of [...holders]) tell();
    },
    end: () => over(revoke),
  };
}
