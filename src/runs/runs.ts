import type { Principal, SharedStore, Target, UserKey } from "../domain.ts";
import type { Clock } from "../lib/clock.ts";
import { PortcullisError } from "../lib/errors.ts";
import { sha256 } from "../lib/json.ts";
import type { Log } from "../lib/log.ts";
import type { Seal } from "../lib/seal.ts";
import type { Secret } from "../lib/secret.ts";
import { createLiveRuns, type RunBearer, type RunEnd } from "./live.ts";
import { createRegister } from "./register.ts";
import type { RunRequest } from "./request.ts";
import { isChosen, type Run } from "./run.ts";

export type { Run } from "./run.ts";

/** Signs and verifies the tokens of runs. */
export interface TokenMint {
  is(token: string): boolean;
  /** `expires`: seconds since the epoch. */
  sign(claims: {
    readonly id: string;
    readonly subject: string;
    readonly audiences: readonly string[];
    readonly expires: number;
  }): Promise<Secret>;
  /** The run's id. Throws `token_invalid` or `token_expired`. */
  verify(token: string, audience: string): Promise<string>;
}

export interface RunLimits {
  /** Seconds. */
  readonly ttl: number;
  readonly max_ttl: number;
  /** Runs of one user at one time. */
  readonly per_user: number;
  /** Runs that one user may begin in a minute. */
  readonly per_minute: number;
}

export interface RunsOptions {
  readonly store: SharedStore;
  readonly seal: Seal;
  readonly tokens: TokenMint;
  /** The URL of a virtual server. */
  urlOf(server: string): string;
  /** The connected account that a credential source takes its tokens from; undefined: it has none. */
  accountOf(source: string): string | undefined;
  /** Runs of this tenant that were begun before are over, whatever the store says; milliseconds since the epoch. */
  overBefore(tenant: string): number;
  readonly limits: RunLimits;
  readonly clock: Clock;
  readonly log: Log;
  /** Unguessable. */
  newId(): string;
  /** How often runs that were seen here are looked up again; default: 5 s. */
  readonly sweepMs?: number;
}

/** Who begins a run. */
export interface Beginner {
  /** As their own token alone says it. */
  readonly claimed: Principal;
  /** When that token ends; seconds since the epoch. */
  readonly expires: number;
  /** The virtual servers that the run is for: the token must be good for each. */
  readonly servers: readonly string[];
}

/** Runs: beginning and ending them, whom their tokens stand for, and what they are narrowed to. */
export interface Runs {
  /** Whether a token is one of a run; it need not be valid. */
  is(token: string): boolean;
  /**
   * Who bears a run's token on a virtual server, as the store says at this moment. Throws `token_invalid`,
   * `token_expired`, `run_ended` or `store_unavailable`.
   */
  bearer(token: string, server: string): Promise<RunBearer>;
  /**
   * Begins a run. `record` puts it on disk: before it resolves there is no run. Throws `token_expired`, `overloaded`,
   * `too_many_runs`, `store_unavailable`, and what `record` throws.
   */
  begin(
    beginner: Beginner,
    request: RunRequest,
    record: (run: Run) => Promise<void>,
  ): Promise<{ readonly run: Run; readonly token: Secret }>;
  find(id: string): Promise<Run | undefined>;
  of(user: UserKey): Promise<readonly Run[]>;
  inTenant(tenant: string): Promise<readonly Run[]>;
  /** Ends it at every replica; false: it was over already. */
  end(run: Run): Promise<boolean>;
  /** Ends those of a tenant that match: it was suspended, a user was. Resolves with how many. */
  endWhere(tenant: string, matches: (run: Run) => boolean): Promise<number>;
  /** Whether this principal is no run, or a run that was given this target. A run that is over was given nothing. */
  reaches(principal: Principal, target: Target, server: string): boolean;
  /** The same of a credential source. */
  mayHave(principal: Principal, source: string): boolean;
  /** Calls back once when a run is over that was seen here: what it holds goes. Returns how to stop. */
  onEnd(listener: (id: string, why: RunEnd) => void): () => void;
  close(): Promise<void>;
}

const ENDED = "runs ended";
const MINUTE_MS = 60_000;

export async function createRuns(options: RunsOptions): Promise<Runs> {
  const { store, tokens, urlOf, accountOf, overBefore, limits, clock, log, newId } = options;
  const register = createRegister(options);
  const live = createLiveRuns({ ...options, register });
  // Only a hint: who can publish can make us look, no more.
  const deaf = await store.subscribe(ENDED, (id) => {
    if (live.known(id) === undefined) return;
    live.look(id).catch((err: unknown) => log.debug({ err }, "a run could not be looked up"));
  });

  /** A sliding window that all replicas share. */
  async function slowDown({ issuer, subject, tenant }: UserKey): Promise<void> {
    const window = `run beginnings of ${sha256(JSON.stringify([issuer, subject, tenant]))}`;
    if (await store.join(window, newId(), MINUTE_MS, limits.per_minute)) return;
    const headers = { "Retry-After": "60" };
    throw new PortcullisError("overloaded", { reason: "too many runs begun in a minute", headers });
  }

  function runOf({ claimed, servers, expires: latest }: Beginner, request: RunRequest): Run {
    const { ttl = limits.ttl, targets, accounts, description } = request;
    const created = Math.floor(clock() / 1000);
    const expires = Math.min(created + Math.min(ttl, limits.max_ttl), Math.floor(latest));
    // Within the tolerance of its issuer's clock there is nothing left to give.
    if (expires <= created) throw new PortcullisError("token_expired");
    const id = newId();
    const run = { id, expires };
    const principal = { ...claimed, actor: claimed.actor || claimed.client, run };
    return { id, principal, description, created, expires, servers, targets, accounts };
  }

  /** Within a second nobody can tell. */
  function isOver({ principal, created }: Run): boolean {
    return created < Math.floor(overBefore(principal.tenant) / 1000);
  }

  async function going(runs: Promise<readonly Run[]>): Promise<readonly Run[]> {
    return (await runs).filter((run) => !isOver(run));
  }

  async function end(run: Run): Promise<boolean> {
    const removed = await register.remove(run);
    live.end(run.id, "ended");
    // Nobody serves it from here on; what other replicas hold for it goes with this, or with their next look.
    await store.publish(ENDED, run.id).catch((err: unknown) => log.warn({ err }, "replicas were not told"));
    return removed;
  }

  return {
    is: tokens.is,
    async bearer(token, server) {
      const id = await tokens.verify(token, urlOf(server));
      const found = await live.look(id);
      if (found === undefined || isOver(found.run))
        throw new PortcullisError("run_ended", { reason: `run ${id}` });
      if (found.run.servers.includes(server)) return found.bearer;
      throw new PortcullisError("token_invalid", { reason: "the run is for other servers" });
    },
    async begin(beginner, request, record) {
      await slowDown(beginner.claimed);
      const run = runOf(beginner, request);
      await register.reserve(run);
      try {
        await record(run);
        await register.put(run);
      } catch (error) {
        await register.remove(run).catch(() => false);
        throw error;
      }
      const { id, principal, servers, expires } = run;
      const audiences = servers.map(urlOf);
      return { run, token: await tokens.sign({ id, subject: principal.subject, audiences, expires }) };
    },
    async find(id) {
      const text = await register.text(id);
      return text === undefined ? undefined : register.open(id, text);
    },
    of: (user) => going(register.of(user)),
    inTenant: (tenant) => going(register.inTenant(tenant)),
    end,
    async endWhere(tenant, matches) {
      const found = (await register.inTenant(tenant)).filter(matches);
      const ended = await Promise.all(found.map(end));
      return ended.filter(Boolean).length;
    },
    reaches({ run }, target, server) {
      if (run === null) return true;
      const known = live.known(run.id);
      return known !== undefined && isChosen(known, target, server);
    },
    mayHave({ run }, source) {
      if (run === null) return true;
      const known = live.known(run.id);
      if (known === undefined) return false;
      const { accounts } = known;
      return accounts === null || accounts.includes(source) || accounts.includes(accountOf(source) ?? "");
    },
    onEnd: live.onEnd,
    async close() {
      live.close();
      await deaf();
    },
  };
}
