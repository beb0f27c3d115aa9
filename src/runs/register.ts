import type { SharedStore, UserKey } from "../domain.ts";
import type { Clock } from "../lib/clock.ts";
import { PortcullisError } from "../lib/errors.ts";
import { isJsonObject, type Json, sha256 } from "../lib/json.ts";
import type { Seal } from "../lib/seal.ts";
import type { Run } from "./run.ts";

/** The runs that are under way, as all replicas share them. All reject with `store_unavailable`. */
export interface Register {
  /** Takes a place among those of its user and its tenant. Throws `too_many_runs`. */
  reserve(run: Run): Promise<void>;
  /** From now on it is under way. */
  put(run: Run): Promise<void>;
  /** As it lies in the store: the same text, the same run. undefined: it is over. */
  text(id: string): Promise<string | undefined>;
  /** undefined: not sealed by this gateway for this id, or its time is over. */
  open(id: string, text: string): Run | undefined;
  /** false: it was over already. */
  remove(run: Run): Promise<boolean>;
  of(user: UserKey): Promise<readonly Run[]>;
  inTenant(tenant: string): Promise<readonly Run[]>;
}

/** Of one tenant, at one time. */
const PER_TENANT = 10_000;
const PURPOSE = "run";

/** Runs are sealed: who can write into the store can end a run, but make none and widen none. */
export function createRegister(options: {
  readonly store: SharedStore;
  readonly seal: Seal;
  readonly limits: { readonly per_user: number };
  readonly clock: Clock;
}): Register {
  const { store, seal, limits, clock } = options;
  const lifeOf = ({ expires }: Run) => Math.max(1, expires * 1000 - clock());

  function open(id: string, text: string): Run | undefined {
    const value = seal.open(PURPOSE, text, clock());
    // Another run's text under this key would be another run.
    return isJsonObject(value) && value.id === id ? (value as unknown as Run) : undefined;
  }

  async function all(ids: readonly string[]): Promise<readonly Run[]> {
    const found = await Promise.all(
      ids.map(async (id) => {
        const text = await store.get(keyOf(id));
        return text === undefined ? undefined : open(id, text);
      }),
    );
    return found
      .filter((run) => run !== undefined)
      .sort((a, b) => a.created - b.created || (a.id < b.id ? -1 : 1));
  }

  async function leave({ id, principal }: Run): Promise<void> {
    await Promise.all([store.leave(userSet(principal), id), store.leave(tenantSet(principal.tenant), id)]);
  }

  return {
    async reserve(run) {
      const { id, principal } = run;
      const life = lifeOf(run);
      const placed =
        (await store.join(userSet(principal), id, life, limits.per_user)) &&
        (await store.join(tenantSet(principal.tenant), id, life, PER_TENANT));
      if (placed) return;
      await leave(run);
      throw new PortcullisError("too_many_runs");
    },
    put: (run) =>
      store.set(keyOf(run.id), seal.seal(PURPOSE, run as unknown as Json, run.expires * 1000), lifeOf(run)),
    text: (id) => store.get(keyOf(id)),
    open,
    async remove(run) {
      const removed = await store.delete(keyOf(run.id));
      await leave(run);
      return removed;
    },
    of: async (user) => all(await store.members(userSet(user))),
    inTenant: async (tenant) => all(await store.members(tenantSet(tenant))),
  };
}

function keyOf(id: string): string {
  return `run ${id}`;
}

function userSet({ issuer, subject, tenant }: UserKey): string {
  return `runs of ${sha256(JSON.stringify([issuer, subject, tenant]))}`;
}

function tenantSet(tenant: string): string {
  return `runs in ${sha256(tenant)}`;
}
